"""SIGKILL at any moment of prepare and of create: a later run completes with the same result."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from fault_report import Count
from small_build import PROGRAM
from store_program import accounts

from kiwinb.packages import MANAGERS

pytestmark = [pytest.mark.build, pytest.mark.fault]

KILLS = 20
SERIES = 4
"""So many runs one after another are killed before one goes on to the end."""

_FORGET = """
import sys
from pathlib import Path
from kiwinb.build.appliance import Appliance
from small_build import settings
place = Path(sys.argv[1])
appliance = Appliance(place / "description", settings=settings(place))
first = getattr(appliance.plan, sys.argv[2])[int(sys.argv[3])]
steps = appliance.steps
appliance.store.remove([step.key for step in steps[steps.index(first):]])
"""


def _traces(mark: str) -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        try:
            if f"KIWINB_TEST_MARK={mark}\0".encode() in (process / "environ").read_bytes():
                found.append(f"process {process.name}")
        except OSError:
            continue
    return found


def _left(directory: Path) -> list[str]:
    """Mounts and loop devices of what is in the directory."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    loops = [f.read_text().strip() for f in Path("/sys/block").glob("loop*/loop/backing_file")]
    return [line for line in (*mounts, *loops) if str(directory) in line]


@pytest.mark.parametrize("manager", MANAGERS)
@pytest.mark.parametrize(("stage", "type"), [("prepare", "cpio"), ("create", "oem")])
@pytest.mark.timeout(2400)
@pytest.mark.proves("package manager", "*")
@pytest.mark.proves("image kind", "cpio oem")
def test_killed_at_any_moment(manager: str, stage: str, type: str, count: Count) -> None:
    seed = int(os.environ.get("KIWINB_TEST_SEED") or random.SystemRandom().randrange(10**6))
    print(f"KIWINB_TEST_SEED={seed}")
    dice = random.Random(seed)
    account = accounts()[0]
    with account.directory() as directory:
        account.run(PROGRAM, "write", str(directory), type, manager)
        expected = account.run(PROGRAM, stage, str(directory))
        seconds = []
        for first in range(3):
            account.run(_FORGET, str(directory), stage, str(first))
            began = time.monotonic()
            account.run(PROGRAM, stage, str(directory))
            seconds.append(time.monotonic() - began)
        for kill in range(KILLS):
            if kill % SERIES == 0:  # from the beginning again
                first = dice.randrange(3)
                account.run(_FORGET, str(directory), stage, str(first))
            mark = f"{seed}-{kill}"
            process = account.start(PROGRAM, stage, str(directory), mark=mark)
            # The runs of a series go on behind each other, so there is less left for each.
            time.sleep(0.2 + dice.uniform(0, seconds[first]) / (1 + kill % SERIES))
            process.kill()
            process.communicate()
            deadline = time.monotonic() + 10
            while _traces(mark) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert _traces(mark) == []
            assert _left(directory) == []
            if kill % SERIES == SERIES - 1:
                assert account.run(PROGRAM, stage, str(directory)) == expected, f"kill {kill}"
    count(f"SIGKILL in {stage} of {type}", KILLS, KILLS)
