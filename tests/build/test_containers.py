"""Containers as skopeo and umoci see them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from small_build import settings

from kiwinb.build.appliance import Appliance
from kiwinb.build.image import Image
from kiwinb.checkpoints.treescan import compare, scan

pytestmark = pytest.mark.build

DESCRIPTION = """\
<image schemaversion="8.5" name="boxed">
  <description type="system"><author>A</author><contact>a@example.org</contact>
    <specification>A container</specification></description>
  <preferences><version>1.2.3</version><packagemanager>apt</packagemanager>
    <type image="{type}">
      <containerconfig name="boxed" tag="first" additionalnames="second,other:third"
          maintainer="A. Author" user="daemon" workingdir="/srv">
        <entrypoint execute="/usr/bin/env"><argument name="A=1"/></entrypoint>
        <subcommand execute="sh"><argument name="-c"/><argument name="id"/></subcommand>
        <labels><label name="org.example.kind" value="test &amp; more"/></labels>
        <expose><port number="80"/><port number="53/udp"/></expose>
        <environment><env name="GREETING" value="hello world"/></environment>
        <volumes><volume name="/srv/data"/></volumes>
        <stopsignal>SIGINT</stopsignal>
        <history author="A. Author" created_by="a test">made for a test</history>
      </containerconfig>
    </type>
  </preferences>
  <repository type="apt-deb" alias="debian" distribution="bookworm" components="main">
    <source path="mirror:debian"/></repository>
  <packages type="bootstrap"><package name="iputils-ping"/></packages>
</image>
"""


@pytest.fixture(scope="module", params=["docker", "oci"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The appliance, its image, and what skopeo calls it."""
    directory = tmp_path_factory.getbasetemp().parent / "containers"
    place = directory / request.param
    place.mkdir(parents=True, exist_ok=True)
    (place / "config.xml").write_text(DESCRIPTION.format(type=request.param))
    appliance = Appliance(place, settings=settings(directory))
    image = appliance.build(place / "out")
    return appliance, image, f"{request.param}-archive:{image.path}:boxed:first"


def _skopeo(*arguments: str) -> Any:
    command = ["skopeo", "--insecure-policy", *arguments]
    return json.loads(subprocess.check_output(command, text=True) or "null")


@pytest.mark.proves("image kind", "docker oci", "containerconfig")
def test_the_configuration_is_that_of_the_description(built: tuple[Appliance, Image, str]) -> None:
    _appliance, _image, name = built
    said = _skopeo("inspect", "--config", name)
    assert (said["os"], said["architecture"], said["author"]) == ("linux", "amd64", "A. Author")
    config = said["config"]
    assert config["User"] == "daemon"
    assert config["WorkingDir"] == "/srv"
    assert config["Entrypoint"] == ["/usr/bin/env", "A=1"]
    assert config["Cmd"] == ["sh", "-c", "id"]
    assert config["Labels"]["org.example.kind"] == "test & more"
    assert set(config["ExposedPorts"]) == {"80/tcp", "53/udp"}
    assert "GREETING=hello world" in config["Env"]
    assert set(config["Volumes"]) == {"/srv/data"}
    assert config["StopSignal"] == "SIGINT"
    assert said["history"][-1]["created_by"] == "a test"
    assert said["history"][-1]["comment"] == "made for a test"


@pytest.mark.parametrize("name", ["boxed:first", "second:first", "other:third"])
def test_it_goes_by_each_of_its_names(built: tuple[Appliance, Image, str], name: str) -> None:
    first = built[2].removesuffix(":boxed:first")
    assert _skopeo("inspect", f"{first}:{name}")["Layers"]


@pytest.mark.account("root")  # it unpacks files of several owners
@pytest.mark.proves("image kind", "docker oci")
def test_umoci_unpacks_the_tree(built: tuple[Appliance, Image, str], tmp_path: Path) -> None:
    appliance, _image, name = built
    layout = tmp_path / "layout"
    _skopeo("copy", "--quiet", name, f"oci:{layout}:image")
    bundle = tmp_path / "bundle"
    subprocess.run(["umoci", "unpack", "--image", f"{layout}:image", bundle], check=True)
    key = next(step for step in reversed(appliance.steps) if step.output == "tree").key
    expected = [entry for entry in appliance.store.scan(key) if entry.path != b"."]
    found = [entry for entry in scan(bundle / "rootfs") if entry.path != b"."]
    assert compare(expected, found) == ()
