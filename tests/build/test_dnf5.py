"""dnf5, also under the name microdnf, which the tree itself brings: real packages come and go."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from forecasts import versions
from made import made
from small_build import settings

from kiwinb import Appliance
from kiwinb.build.update import update_root
from kiwinb.errors import PackageError
from kiwinb.packages.databases import installed

pytestmark = [
    pytest.mark.build,
    pytest.mark.account("root"),
    pytest.mark.needs("rpm", "rpmbuild", "createrepo_c", "dnf"),
]

DESCRIPTION = """\
<image schemaversion="8.5" name="least">
  <description type="system"><author>A</author><contact>a@example.org</contact>
    <specification>The least there is</specification></description>
  <preferences><version>1.0.0</version><packagemanager>{manager}</packagemanager>
    <rpm-excludedocs>true</rpm-excludedocs><type image="cpio"/></preferences>
  {repositories}
  {packages}
</image>
"""
FULL = """
<packages type="bootstrap"><package name="test-release"/><package name="test-doc"/></packages>
<packages type="image" patternType="plusRecommended">
  <namedCollection name="test-base"/><package name="test-recommends"/><package name="test-lua"/>
  <package name="test-needs-alternative"/><package name="test-old"/><package name="test-config"/>
  <package name="test-modes"/><ignore name="test-modes"/>
</packages>
<packages type="uninstall"><package name="test-needs-alternative"/></packages>
<packages type="delete"><package name="test-lua"/></packages>
"""
BARE = """
<packages type="bootstrap"><package name="test-release"/>
  <package name="test-needs-alternative"/><package name="test-doc"/></packages>
<packages type="uninstall"><package name="test-alternative-a"/></packages>
"""
OLD = """
<packages type="bootstrap"><package name="test-release"/>
  <package name="test-needs-alternative"/></packages>
<packages type="image"><package name="test-old"/><package name="bash"/></packages>
<packages type="uninstall"><package name="test-needs-alternative"/></packages>
"""
GROUP = """
<packages type="bootstrap"><package name="test-release"/><package name="bash"/>
  <package name="coreutils"/><package name="tzdata"/></packages>
<packages type="image"><namedCollection name="test-base"/><package name="bash"/></packages>
"""
LATE = """
<packages type="image"><package name="test-needs-alternative"/><package name="dnf5"/></packages>
"""


def write(directory: Path, manager: str, given: str, system: str = "fedora5") -> Appliance:
    distribution = made(system)
    repository = (
        f'<repository type="rpm-md" alias="distribution"><source path="dir:{distribution.root}">'
        f'<signing key="{distribution.key}"/></source></repository>'
    )
    text = DESCRIPTION.format(manager=manager, repositories=repository, packages=given)
    (directory / "config.xml").write_text(text)
    return Appliance(directory, settings=settings(directory))


def inside(root: Path, *job: str) -> str:
    """What the tree's dnf5 says."""
    argv: list[str | Path] = ["chroot", root, "dnf5", "--setopt=reposdir=/dev/null", *job]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def automatic(root: Path) -> Mapping[str, bool | None]:
    return {package.name: package.automatic for package in installed(root)}


@pytest.mark.proves(
    "package manager", "dnf5 microdnf", "ignore", "namedCollection", "package", "patternType"
)
@pytest.mark.parametrize("manager", ["dnf5", "microdnf"])
def test_packages_come_and_go(manager: str, tmp_path: Path) -> None:
    appliance = write(tmp_path, manager, FULL)
    tree = appliance.prepare()
    assert versions(tree.packages()) == {
        (item.name, item.version, item.arch) for item in appliance.forecast_packages()
    }
    root = tree.export(tmp_path / "root")
    reasons = automatic(root)
    wanted = {"test-release", "test-doc", "test-recommends", "test-old", "test-config", "dnf5"}
    wanted |= {"bash", "coreutils", "tzdata"}  # the group
    assert {name for name, is_automatic in reasons.items() if not is_automatic} == wanted
    assert reasons["test-recommended"] and reasons["libc6"]
    assert not reasons.keys() & {"test-needs-alternative", "test-alternative-a", "test-lua"}
    assert not (root / "usr/share/doc/test-doc").exists()
    left = ("var/log/dnf*", "var/cache/*dnf*/*", "**/*.lock", "**/*.sqlite-*", "run/*")
    assert [path for pattern in left for path in root.glob(pattern)] == []
    assert "test-base" in inside(root, "group", "list", "--installed")
    # Two marks, an installation and a removal, below a title.
    assert len(inside(root, "history", "list").splitlines()) == 5


@pytest.mark.proves("package manager", "dnf5 microdnf")
@pytest.mark.parametrize("manager", ["dnf5", "microdnf"])
def test_a_tree_is_updated(manager: str, tmp_path: Path) -> None:
    given = '<packages type="bootstrap"><package name="test-release"/></packages>'
    given += '<packages type="image"><package name="test-config"/><package name="test-old"/>'
    write(tmp_path, manager, f"{given}</packages>")
    own, distribution = settings(tmp_path), made("fedora5")
    more = (
        f'<repository type="rpm-md" alias="more"><source path="dir:{distribution.updates}">'
        f'<signing key="{distribution.key}"/></source></repository><packages type="bootstrap">'
    )
    root = Appliance(tmp_path, settings=own).prepare().export(tmp_path / "root")
    (root / "etc/test-config.conf").write_text("own\n")
    described = root / "image/config.xml"
    described.write_text(described.read_text().replace('<packages type="bootstrap">', more))
    update_root(root, settings=own)
    found = {package.name: package.version for package in installed(root)}
    assert found["test-config"] == found["test-obsoletes"] == "2.0-1"
    assert "test-old" not in found
    assert (root / "etc/test-config.conf.rpmnew").exists()
    with pytest.raises(PackageError, match="test-broken-script"):  # its script fails
        update_root(root, add=["test-broken-script"], settings=own)
    update_root(root, add=["test-needs-alternative"], settings=own)
    assert automatic(root)["test-alternative-a"]
    update_root(root, delete=["test-needs-alternative", "dnf5"], settings=own)
    names = automatic(root).keys()
    assert not names & {"test-alternative-a", "dnf5", "libdnf5-2"}
    with pytest.raises(PackageError, match="no-such-package"):
        update_root(root, add=["no-such-package"], settings=own)


@pytest.mark.proves("package manager", "dnf5")
def test_a_tree_without_dnf5(tmp_path: Path) -> None:
    appliance = write(tmp_path, "dnf5", BARE)
    tree = appliance.prepare()
    assert versions(tree.packages()) == {
        (item.name, item.version, item.arch) for item in appliance.forecast_packages()
    }
    root = tree.export(tmp_path / "root")
    reasons = automatic(root)
    assert "filesystem" in reasons and not reasons.keys() & {"test-needs-alternative", "dnf5"}
    assert {*reasons.values()} == {None}
    assert not (root / "usr/share/doc/test-doc").exists()
    update_root(root, add=["test-lua"], settings=settings(tmp_path))
    assert (root / "var/lib/test-lua/log").read_text() == "lua\n"
    update_root(root, add=["dnf5"], settings=settings(tmp_path))
    reasons = automatic(root)
    assert reasons["libdnf5-2"] and reasons["dnf5"] is False
    assert reasons["filesystem"] is None  # nobody knows any more


def test_a_tree_that_gets_dnf5_at_last(tmp_path: Path) -> None:
    appliance = write(tmp_path, "dnf5", LATE)
    table = appliance.prepare().packages().set_index("name")["why"]
    assert table["dnf5"] == table["test-needs-alternative"] == "named in image"
    assert table["test-alternative-a"].startswith("dependency of test-needs-alternative")


@pytest.mark.proves("package manager", "dnf4 dnf5", "namedCollection")
@pytest.mark.parametrize("manager", ["dnf4", "dnf5"])
@pytest.mark.parametrize("more", ["", "test-doc"])
def test_a_group_whose_packages_are_there(manager: str, more: str, tmp_path: Path) -> None:
    given = GROUP + f'<packages type="image"><package name="{more}"/></packages>' * bool(more)
    root = write(tmp_path, manager, given).prepare().export(tmp_path / "root")
    reasons = automatic(root)
    assert reasons["tzdata"] is False
    assert not more or reasons[more] is False


@pytest.mark.proves("package manager", "microdnf")
def test_microdnf_that_is_no_dnf5(tmp_path: Path) -> None:
    appliance = write(tmp_path, "microdnf", OLD, "fedora")
    tree = appliance.prepare()
    assert versions(tree.packages()) == {
        (item.name, item.version, item.arch) for item in appliance.forecast_packages()
    }
    root = tree.export(tmp_path / "root")
    reasons = automatic(root)
    assert not reasons["microdnf"] and not reasons["test-old"] and reasons["libc6"]
    assert not reasons.keys() & {"test-needs-alternative", "test-alternative-a"}
    assert (root / "var/lib/dnf/history.sqlite").exists()
    assert not (root / "usr/lib/sysimage/libdnf5").exists()
