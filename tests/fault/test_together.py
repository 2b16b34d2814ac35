"""Six builds at once on one store: equal results, each step once; some are killed meanwhile."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from fault_report import Count
from small_build import write_description

pytestmark = [pytest.mark.build, pytest.mark.fault, pytest.mark.account("root")]

BUILDS = 6
DESCRIPTIONS = 4
"""Half of the builds share the first one."""

_BUILD = """
import hashlib, json, sys
from dataclasses import replace
from pathlib import Path
from kiwinb.build.appliance import Appliance
from small_build import settings
description, store, out = map(Path, sys.argv[1:])
events = []
appliance = Appliance(description, settings=replace(settings(store), store=store))
image = appliance.observed_by(events.append).build(out)
print(json.dumps({
    "image": hashlib.sha256(image.path.read_bytes()).hexdigest(),
    "steps": [(event.step.key, event.state) for event in events],
}))
"""


def _environment(store: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "KIWINB_STORE": str(store),
    }


def _start(directory: Path, number: int, turn: str = "") -> subprocess.Popen[str]:
    """Start one of the builds, in a process group of its own."""
    store = directory / "store"
    description = directory / str(max(0, number - BUILDS + DESCRIPTIONS)) / "description"
    places = map(str, (description, store, directory / f"out-{number}{turn}"))
    command = [sys.executable, "-c", _BUILD, *places]
    return subprocess.Popen(
        command,
        env=_environment(store),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _ended(build: subprocess.Popen[str]) -> dict[str, list[list[str]] | str]:
    out, err = build.communicate(timeout=600)
    assert build.returncode == 0, err
    found: dict[str, list[list[str]] | str] = json.loads(out)
    return found


def _checkpoints(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = "from kiwinb.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, "checkpoints", *arguments],
        env=_environment(directory / "store"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def described(tmp_path: Path) -> Path:
    """A directory with descriptions that differ in one file of the overlay."""
    for number in range(DESCRIPTIONS):
        (tmp_path / str(number)).mkdir()
        path = write_description(tmp_path / str(number))
        (path / "root/etc/motd").write_text(f"hello from {number}\n")
    return tmp_path


def _images(found: Sequence[dict[str, list[list[str]] | str]]) -> list[str]:
    return [str(item["image"]) for item in found]


@pytest.mark.timeout(900)
def test_six_builds_run_each_step_once(described: Path, count: Count) -> None:
    builds = [_start(described, number) for number in range(BUILDS)]
    found = [_ended(build) for build in builds]
    states = [tuple(state) for item in found for state in item["steps"]]
    done = Counter(key for key, state in states if state == "done")
    assert done and set(done.values()) == {1}
    shared = [key for key in done if states.count((key, "held")) == BUILDS - 1]
    assert shared, "no step is shared by all"
    assert {key for key, state in states if state == "held"} <= {*done}
    images = _images(found)
    assert len({*images[: BUILDS - DESCRIPTIONS + 1]}) == 1
    assert len({*images}) == DESCRIPTIONS
    # Each of them is what it is without the others.
    shutil.rmtree(described / "store")
    last = BUILDS - 1
    assert _images([_ended(_start(described, last, "-alone"))]) == [images[last]]
    count("builds at once on one store", BUILDS, len(found))


def _killed_among(described: Path, dice: random.Random, turn: str) -> int:
    """Kill some of six builds, and keep house meanwhile; returns how many were killed."""
    builds = [_start(described, number, turn) for number in range(BUILDS)]
    doomed = dice.sample(range(BUILDS), 3)
    killed = 0
    for number in doomed:
        time.sleep(dice.uniform(0.3, 2))
        if builds[number].poll() is None:
            os.kill(builds[number].pid, signal.SIGKILL)
            killed += 1
        builds[number].communicate()
        for command in (("list",), ("verify",), ("gc", "--limit", "100G")):
            done = _checkpoints(described, *command)
            assert "Traceback" not in done.stderr
            refused = done.returncode == 9 and "is in use by process" in done.stderr
            assert done.returncode == 0 or (command[0] == "gc" and refused), done.stderr
    survivors = [number for number in range(BUILDS) if number not in doomed]
    found = _images([_ended(builds[number]) for number in survivors])
    again = _images([_ended(_start(described, number, f"{turn}-again")) for number in survivors])
    assert found == again
    done = _checkpoints(described, "verify")
    assert done.returncode == 0, done.stdout + done.stderr
    store = described / "store"
    assert not any((store / "drafts").iterdir()) and not any((store / "trash").iterdir())
    return killed


@pytest.mark.parametrize(
    "turns",
    [pytest.param(1), pytest.param(12, marks=[pytest.mark.soak, pytest.mark.timeout(7200)])],
)
@pytest.mark.timeout(900)
def test_some_are_killed_while_others_keep_house(described: Path, turns: int, count: Count) -> None:
    seed = int(os.environ.get("KIWINB_TEST_SEED") or random.SystemRandom().randrange(10**6))
    print(f"KIWINB_TEST_SEED={seed}")
    dice = random.Random(seed)
    killed = 0
    for turn in range(turns):
        if (described / "store").exists():
            shutil.rmtree(described / "store")
        killed += _killed_among(described, dice, f"-{turn}")
    assert killed, "all were done before they could be killed"
    count("SIGKILL to one of six builds at once", killed, killed)
