"""The clock of the host is wrong, or is set, between runs and while steps run."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from faked_clock import jumping_clock, run, wrong_clock
from fault_report import Count
from small_build import write_description

from kiwinb.checkpoints.store import Store

pytestmark = [pytest.mark.build, pytest.mark.fault, pytest.mark.needs("faketime")]

_PROGRAM = "clock_build"
_YEAR = 365


def _run(offset: str, *words: object) -> Any:
    return json.loads(run(_PROGRAM, *words, at=wrong_clock(offset)))


def _day() -> float:
    return time.time() // 86400


def test_between_runs(tmp_path: Path, count: Count) -> None:
    """What is used later counts as used later, and gc removes the other results first."""
    store = tmp_path / "store"
    jumps = ("+30y", "-20y", "+5y")
    for number, offset in enumerate(jumps):
        made = _run(offset, "steps", store, f"run{number}")
        assert made["states"] == ["done", "done"]
        expected = _day() + _YEAR * int(offset.rstrip("y"))
        assert all(abs(day - expected) < 10 for day in made["days"])
    names = [f"run{number}" for number in range(len(jumps))]
    for offset, name in (("-20y", "run0"), ("+0", "run1")):
        held = _run(offset, "steps", store, name)
        assert held["states"] == ["held", "held"]
        assert held["damage"] == {}
        names = [*(other for other in names if other != name), name]
    opened = Store.open(store)
    assert [item.name[:4] for item in opened.list()][::2] == names
    sizes = [item.bytes for item in opened.list()]
    gone = _run("+0", "gc", store, sum(sizes[2:]))
    assert {name[:4] for name in gone} == {names[0]}
    assert {name[:4] for name in _run("-20y", "gc", store, sum(sizes[4:]))} == {names[1]}
    count("clock set between runs", len(jumps) + 2, len(jumps) + 2)


def test_within_steps(tmp_path: Path, count: Count) -> None:
    """Results are the same, and no duration is negative or longer than it was."""
    jumps = 2
    expected = _run("+0", "steps", tmp_path / "right", "run")
    file = tmp_path / "offset"
    days: set[int] = set()
    for number in range(jumps):
        file.write_text("0")
        store = tmp_path / f"store-{number}"
        words = ("steps", store, "run", file)
        made = json.loads(run(_PROGRAM, *words, at=jumping_clock(file)))
        days |= {*made["days"]}
        assert made["states"] == ["done", "done"]
        assert made["damage"] == {}
        assert [made[name] for name in ("keys", "tree")] == [
            expected[name] for name in ("keys", "tree")
        ]
        assert all(0 <= seconds <= made["taken"] + 0.01 for seconds in made["seconds"])
        assert all(0 < seconds <= made["taken"] + 0.01 for seconds in made["made"])
    assert _run("-20y", "steps", store, "run")["states"] == ["held", "held"]
    assert min(days) < _day() - 10 * _YEAR
    assert max(days) > _day() + 10 * _YEAR
    count("clock set again and again within steps", jumps, jumps)


def test_repositories(tmp_path: Path, count: Count) -> None:
    """An error names the clock if that is the cause, and the next run goes on."""
    write_description(tmp_path)
    right = _run("+0", "plan", tmp_path)["keys"]
    assert right
    behind = _run("-20y", "plan", tmp_path)["error"]
    assert "the clock of this host is wrong: it says " in behind
    assert "Set the clock" in behind
    assert _run("+0", "plan", tmp_path)["keys"] == right
    ahead = _run("+40y", "plan", tmp_path)
    if shutil.which("sqv"):  # unlike gpgv, it asks whether the key was valid when it signed
        assert ahead["keys"] == right
    else:
        assert "The clock of this host says " in ahead["error"]
        assert "if that is wrong, set it first" in ahead["error"]
    assert _run("+1y", "plan", tmp_path)["keys"] == right
    count("clock behind or ahead of the repositories", 3, 3)
