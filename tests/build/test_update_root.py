"""``system update``: the packages of a root tree that was prepared before change in its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_build import settings

from kiwinb import Appliance, open_root
from kiwinb.build.update import update_root
from kiwinb.errors import PackageError
from kiwinb.packages.databases import installed

pytestmark = pytest.mark.build

DESCRIPTION = """\
<image schemaversion="8.5" name="least">
  <description type="system"><author>A</author><contact>a@example.org</contact>
    <specification>The least there is</specification></description>
  <preferences><version>1.0.0</version><packagemanager>apt</packagemanager>
    <type image="cpio"/></preferences>
  <repository type="apt-deb" alias="debian" distribution="bookworm">
    <source path="mirror:debian"/></repository>
  <packages type="bootstrap"><package name="nano"/></packages>
</image>
"""


def _names(root: Path) -> set[str]:
    return {package.name for package in installed(root)}


def test_packages_come_and_go_and_the_rest_stays(tmp_path: Path) -> None:
    (tmp_path / "config.xml").write_text(DESCRIPTION)
    own = settings(tmp_path)
    root = Appliance(tmp_path, settings=own).prepare().export(tmp_path / "root")
    before = _names(root)
    (root / "etc/by-hand").write_text("kept\n")

    assert update_root(root, add=["less"], delete=["nano"], settings=own) == root
    after = _names(root)
    assert after - before == {"less"}
    assert {"nano"} <= before - after <= {"nano", "libncursesw6"}  # what only nano needs goes too
    assert (root / "etc/by-hand").read_text() == "kept\n"
    assert (root / "usr/bin/less").exists()
    assert not list((root / "var/lib/apt/lists").glob("*Packages*"))

    with pytest.raises(PackageError, match="no-such-package"):
        update_root(root, add=["no-such-package"], settings=own)
    assert (root / "usr/bin/less").exists()

    update_root(root, settings=own)
    assert _names(root) >= after
    assert sorted(path.name for path in tmp_path.glob(".root.*")) == []
    assert open_root(root, settings=own).create(tmp_path / "out").path.exists()
