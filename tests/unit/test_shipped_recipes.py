"""The descriptions of the recipes choose one release of Debian, the stable one by default."""

from __future__ import annotations

from pathlib import Path

import pytest

from kiwinb import Appliance

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
STABLE = "trixie"
RECIPES = ("container-base", "debian-server", "why-so-big")


def suites(appliance: Appliance) -> set[str | None]:
    return {repository.distribution for repository in appliance.description.repositories}


@pytest.mark.parametrize("name", [*RECIPES, "tour", "what-changed"])
def test_the_stable_release_is_the_default(name: str) -> None:
    assert suites(Appliance(NOTEBOOKS / name)) == {STABLE, f"{STABLE}-security"}


@pytest.mark.parametrize("release", [STABLE, "bookworm"])
@pytest.mark.parametrize("name", RECIPES)
def test_a_profile_chooses_the_release(name: str, release: str) -> None:
    chosen = Appliance(NOTEBOOKS / name, profiles=[release])
    assert suites(chosen) == {release, f"{release}-security"}
    default = Appliance(NOTEBOOKS / name).description.packages
    assert chosen.description.packages.bootstrap == default.bootstrap


def test_the_version_of_a_base_is_that_of_debian() -> None:
    for release, version in ((STABLE, "13.0.0"), ("bookworm", "12.0.0")):
        image = Appliance(NOTEBOOKS / "container-base", profiles=[release], type="oci").description
        assert image.version == version
        container = image.type.containerconfig
        assert container is not None
        assert (container.tag, container.additionalnames) == (version[:2], (f":{release}",))
