"""Only what changed runs again."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_build import build, settings, write_description

from kiwinb.build.appliance import Appliance
from kiwinb.steps.progress import StepEvent

pytestmark = pytest.mark.build


def _ran(directory: Path) -> list[str]:
    events: list[StepEvent] = []
    build(directory, events)
    return [event.step.name for event in events if event.state == "done"]


def test_only_what_changed_runs_again(tmp_path: Path) -> None:
    description = write_description(tmp_path)
    everything = _ran(tmp_path)
    assert everything[:4] == ["bootstrap", "packages", "overlay", "users"]

    assert _ran(tmp_path) == []

    (description / "root/etc/motd").write_text("good morning\n")
    assert sorted(_ran(tmp_path)) == sorted(everything[everything.index("overlay") :])

    config = description / "config.xml"
    config.write_text(
        config.read_text().replace("<package name=", '<package name="less"/><package name=', 2)
    )
    text = config.read_text().replace('<package name="less"/>', "", 1)  # it is for the image alone
    config.write_text(text)
    assert sorted(_ran(tmp_path)) == sorted(everything[everything.index("packages") :])

    (description / "root/etc/motd").write_text("hello\n")
    config.write_text(text.replace('<package name="less"/>', ""))
    assert _ran(tmp_path) == []


def test_what_changed_is_told(tmp_path: Path) -> None:
    description = write_description(tmp_path)
    build(tmp_path)
    (description / "config.sh").write_text("true\n")
    appliance = Appliance(description, settings=settings(tmp_path))
    forecast = {item.step.name: item for item in appliance.explain()}
    assert forecast["overlay"].held
    assert forecast["overlay"].changed == ()
    assert not forecast["config.sh"].held
    assert any("script" in reason for reason in forecast["config.sh"].changed)


def test_a_script_runs_only_if_what_it_reads_changed(tmp_path: Path) -> None:
    description = write_description(tmp_path)
    script = description / "config.sh"
    script.write_text(f"# kiwinb: observed\n{script.read_text()}cat /etc/hostname > /srv/name\n")
    assert "config.sh" in _ran(tmp_path)

    (description / "root/etc/motd").write_text("good morning\n")
    appliance = Appliance(description, settings=settings(tmp_path))
    forecast = {item.step.name: item for item in appliance.explain()}
    assert "runs only if anything that it read has changed" in forecast["config.sh"].reasons
    events: list[StepEvent] = []
    build(tmp_path, events)
    states = {event.step.name: event.state for event in events}
    assert states["overlay"] == "done" and states["config.sh"] == "reused"
    forecast = {item.step.name: item for item in appliance.explain()}
    assert forecast["config.sh"].held
    assert forecast["config.sh"].note == "not run: nothing that it read has changed"

    (description / "root/etc/hostname").write_text("other\n")
    ran = _ran(tmp_path)
    assert "config.sh" in ran
