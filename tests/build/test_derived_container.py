"""A container that builds on another one: its layers, and one with what is new."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from forecasts import forecast, versions
from small_build import settings

from kiwinb import Appliance, open_root

pytestmark = pytest.mark.build

DESCRIPTION = """\
<image schemaversion="8.5" name="{name}">
  <description type="system"><author>A</author><contact>a@example.org</contact>
    <specification>A container</specification></description>
  <preferences><version>1.0.0</version><packagemanager>apt</packagemanager>
    <type image="docker" {attributes}><containerconfig name="{name}" tag="one"/></type>
  </preferences>
  <repository type="apt-deb" alias="debian" distribution="bookworm">
    <source path="mirror:debian"/></repository>
  <packages type="bootstrap">{packages}</packages>
</image>
"""


def _appliance(directory: Path, name: str, packages: str, attributes: str = "") -> Appliance:
    place = directory / name
    place.mkdir()
    names = "".join(f'<package name="{package}"/>' for package in packages.split())
    text = DESCRIPTION.format(name=name, attributes=attributes, packages=names)
    (place / "config.xml").write_text(text)
    return Appliance(place, settings=settings(directory))


def _layers(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        (image,) = json.load(manifest)
        config = tar.extractfile(image["Config"])
        assert config is not None
        return list(json.load(config)["rootfs"]["diff_ids"])


@pytest.mark.proves("image kind", "oci", "derived_from")
def test_a_container_has_the_layers_of_its_base_and_one_more(tmp_path: Path) -> None:
    base = _appliance(tmp_path, "base", "apt").build(tmp_path / "out-base").path
    named = f'derived_from="file://{base}#base:one"'
    appliance = _appliance(tmp_path, "more", "less", named)
    packages = forecast(appliance)
    root = appliance.prepare()
    assert versions(root.packages()) == packages
    assert "bootstrap" not in [step.name for step in appliance.steps]
    assert {"less", "apt"} <= {*root.packages()["name"]}
    image = root.create(tmp_path / "out")
    assert _layers(image.path)[:-1] == _layers(base)
    assert len(_layers(image.path)) == len(_layers(base)) + 1

    directory = root.export(tmp_path / "root")
    steps = {
        step.name: step for step in open_root(directory, settings=settings(tmp_path)).session.steps
    }
    before = {step.name: step for step in appliance.steps}
    assert steps["container"].needs == ("base-container",)
    assert steps["base-container"].key == before["base-container"].key
