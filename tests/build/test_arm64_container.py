"""An arm64 container, built where the host is of another architecture."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from forecasts import forecast, versions
from small_build import settings

from kiwinb.build.appliance import Appliance
from kiwinb.build.image import Image
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.worker import Report

pytestmark = [pytest.mark.build, pytest.mark.needs("skopeo")]

DESCRIPTION = """\
<image schemaversion="8.5" name="armed">
  <description type="system"><author>A</author><contact>a@example.org</contact>
    <specification>A container for another machine</specification></description>
  <preferences><version>1.0.0</version><packagemanager>apt</packagemanager>
    <type image="oci"><containerconfig name="armed"/></type></preferences>
  <repository type="apt-deb" alias="debian" distribution="bookworm" components="main">
    <source path="mirror:debian"/></repository>
  <packages type="bootstrap"><package name="iputils-ping"/></packages>
</image>
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Appliance, Image]:
    """The appliance and its image."""
    place = tmp_path_factory.mktemp("armed")
    (place / "config.xml").write_text(DESCRIPTION)
    (place / "config.sh").write_text("set -e\nuname -m >/etc/machine\nid -u >>/etc/machine\n")
    appliance = Appliance(place, arch="aarch64", settings=settings(place))
    return appliance, appliance.build(place / "out")


def _inspect(root: Path, _argument: None, report: Report) -> dict[str, str]:
    with Chroot(root, log=report.log) as chroot:
        return {
            "dpkg": chroot.run(["dpkg", "--print-architecture"]).strip(),
            "kernel": chroot.run(["uname", "-m"]).strip(),
            "machine": chroot.run(["cat", "/etc/machine"]),
        }


def test_engines_are_told_the_architecture(built: tuple[Appliance, Image]) -> None:
    _appliance, image = built
    command = ["skopeo", "--insecure-policy", "inspect", "--config", f"oci-archive:{image.path}"]
    said = json.loads(subprocess.check_output(command))
    assert (said["os"], said["architecture"], said["variant"]) == ("linux", "arm64", "v8")
    assert image.path.name == "armed.aarch64-1.0.0.oci.tar.xz"


def test_its_packages_are_those_of_the_forecast(built: tuple[Appliance, Image]) -> None:
    appliance, _image = built
    found = versions(appliance.prepare().packages())
    assert forecast(appliance) == found
    assert {arch for _, _, arch in found} == {"arm64", "all"}


def test_its_programs_are_of_that_architecture_and_run(built: tuple[Appliance, Image]) -> None:
    appliance, _image = built
    tree = next(step for step in reversed(appliance.steps) if step.output == "tree")
    said = appliance.store.in_tree(tree.key, _inspect, None, writable=True)
    assert (said["dpkg"], said["kernel"]) == ("arm64", "aarch64")
    assert said["machine"] == "aarch64\n0\n"
