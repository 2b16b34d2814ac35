"""SIGKILL at any moment of prepare and of create: a later run completes with the same result."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from fault_report import Count
from small_build import PROGRAM
from store_program import Account, accounts

from kiwinb.images import IMAGE_KINDS
from kiwinb.packages import MANAGERS

pytestmark = [pytest.mark.build, pytest.mark.fault]

SERIES = 4
"""So many runs one after another are killed before one goes on to the end."""

_FORGET = """
import sys
from pathlib import Path
from kiwinb.build.appliance import Appliance
from small_build import settings
place, stage, kind, first = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
appliance = Appliance(place / "description", type=kind, settings=settings(place))
forgotten = getattr(appliance.plan, stage)
steps = appliance.steps
appliance.store.remove([step.key for step in steps[steps.index(forgotten[first]):]])
print(len(forgotten))
"""


@dataclass(frozen=True)
class _Build:
    """A stage of a build that is killed.

    Attributes:
        account: Who builds.
        directory: Its description and its store.
        stage: ``prepare`` or ``create``.
        kind: Kind of the image.
    """

    account: Account
    directory: Path
    stage: str
    kind: str

    def run(self) -> str:
        """Go on to the end; return the digests of what it makes."""
        return self.account.run(PROGRAM, self.stage, str(self.directory), self.kind, timeout=900)

    def forget(self, first: int) -> int:
        """Remove the results of a step and of those after it; return how many steps there are."""
        arguments = (str(self.directory), self.stage, self.kind, str(first))
        return int(self.account.run(_FORGET, *arguments))

    def kill(self, after: float, mark: str) -> None:
        """Start it and kill it; nothing of it must be left."""
        arguments = (self.stage, str(self.directory), self.kind)
        process = self.account.start(PROGRAM, *arguments, mark=mark)
        time.sleep(after)
        process.kill()
        process.communicate()
        deadline = time.monotonic() + 10
        while _traces(mark) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert _traces(mark) == []
        assert _left(self.directory) == []


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


@pytest.fixture(scope="module")
def places() -> Iterator[Callable[[str, str], tuple[Account, Path]]]:
    """Directories with a description, one for disks and one for all other kinds."""
    account = accounts()[0]
    with ExitStack() as stack:

        @cache
        def make(manager: str, form: bool) -> Path:
            directory = stack.enter_context(account.directory())
            kinds = IMAGE_KINDS.where(lambda kind: (kind.form == "disk") == form)
            account.run(PROGRAM, "write", str(directory), ",".join(kinds), manager)
            return directory

        def find(manager: str, kind: str) -> tuple[Account, Path]:
            return account, make(manager, IMAGE_KINDS[kind].form == "disk")

        yield find


STAGES = [
    *((manager, "prepare", "cpio", 12) for manager in MANAGERS),
    *(("apt", "create", kind, SERIES) for kind in IMAGE_KINDS),
]
"""Package manager, stage, kind, and how many times it is killed."""
MANY = 200


@pytest.mark.parametrize(
    ("manager", "stage", "kind", "kills"),
    [
        *STAGES,
        *(pytest.param(*stage[:3], MANY, marks=pytest.mark.soak) for stage in STAGES),
    ],
)
@pytest.mark.timeout(7200)
@pytest.mark.proves("package manager", "*")
@pytest.mark.proves("image kind", "*")
def test_killed_at_any_moment(
    manager: str,
    stage: str,
    kind: str,
    kills: int,
    places: Callable[[str, str], tuple[Account, Path]],
    count: Count,
) -> None:
    seed = int(os.environ.get("KIWINB_TEST_SEED") or random.SystemRandom().randrange(10**6))
    print(f"KIWINB_TEST_SEED={seed}")
    dice = random.Random(seed)
    build = _Build(*places(manager, kind), stage, kind)
    expected = build.run()
    steps = build.forget(0)
    began = time.monotonic()
    assert build.run() == expected
    seconds = time.monotonic() - began
    for kill in range(kills):
        if kill % SERIES == 0:  # from the beginning again
            first = dice.randrange(steps)
            build.forget(first)
        # The runs of a series go on behind each other, so there is less left for each.
        after = 0.2 + dice.uniform(0, seconds * (1 - first / steps)) / (1 + kill % SERIES)
        build.kill(after, f"{seed}-{kill}")
        if kill % SERIES == SERIES - 1:
            assert build.run() == expected, f"kill {kill}"
    count(f"SIGKILL in {stage} of {kind}", kills, kills)
