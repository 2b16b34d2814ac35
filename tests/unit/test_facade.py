"""What users hold never changes: appliances are refreshed and observed as new ones."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

import kiwinb
from kiwinb import Appliance, Overrides
from kiwinb.build.plan import BuildPlan
from kiwinb.build.session import BuildSession, Planned
from kiwinb.settings import Settings

SERVER = Path(__file__).parents[1] / "data/descriptions/server"


@pytest.fixture
def appliance(tmp_path: Path) -> Appliance:
    settings = Settings(store=tmp_path / "store", cache=tmp_path / "cache")
    return Appliance(SERVER, overrides=Overrides(add_package=("less",)), settings=settings)


def test_nothing_can_be_assigned(appliance: Appliance) -> None:
    for name in ("session", "observer", "plan", "epoch"):
        with pytest.raises((FrozenInstanceError, AttributeError)):
            setattr(appliance, name, None)
    with pytest.raises(FrozenInstanceError):
        appliance.session.given = None  # type: ignore[misc]
    assert "less" in appliance.description.packages.image.packages


def test_refresh_gives_another_appliance(
    appliance: Appliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def plan(_session: BuildSession, *, refresh: bool) -> Planned:
        asked.append(refresh)
        return Planned(BuildPlan((), (), ()), len(asked))

    monkeypatch.setattr(BuildSession, "_plan", plan)
    assert appliance.session.planned.epoch == 1
    fresh = appliance.refresh()
    assert asked == [False, True]
    assert (appliance.session.planned.epoch, fresh.session.planned.epoch) == (1, 2)
    assert fresh.description is appliance.description
    watched = fresh.observed_by(lambda event: None)
    assert watched.session.planned.epoch == 2 and fresh.session.observer is None


def test_a_warning_is_told_once(appliance: Appliance, caplog: pytest.LogCaptureFixture) -> None:
    other = appliance.observed_by(None)
    for session in (appliance.session, other.session, appliance.session):
        session.warn("it is valid, but not used")
    assert caplog.messages == ["it is valid, but not used"]


def test_paths_are_shown_normalised(tmp_path: Path) -> None:
    settings = Settings(store=tmp_path / "store", cache=tmp_path / "cache")
    roundabout = Appliance(SERVER / ".." / SERVER.name, settings=settings)
    assert roundabout.document.file == SERVER / "config.xml"


def test_public_names_are_there() -> None:
    for name in kiwinb.__all__:
        assert getattr(kiwinb, name) is not None
