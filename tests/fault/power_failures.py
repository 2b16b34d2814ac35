"""Let the power fail at the flushes of a disk, look at what is left, and go on with the build.

python tests/fault/power_failures.py DIRECTORY FILE_SYSTEM SEED MOST AGAIN

It tries at most ``MOST`` flushes, each with nothing of what was written later, and ``AGAIN`` times
with some of that. It prints :class:`Failures` as JSON. Only root can run it, in a mount namespace
of its own, because a copy of one of its mounts elsewhere would keep its disk busy.
"""

from __future__ import annotations

import json
import logging
import random
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from disk_trace import Trace, write_image
from power_build import BUILDS, PROGRAM, check, steps
from recorded_disk import recorded_disk
from store_program import Account

MIB = 1 << 20
_LAZY = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"


@dataclass(frozen=True)
class Kind:
    """A file system to build on.

    Attributes:
        size: Bytes of the disk.
        make: The command that makes it, without the device.
    """

    size: int
    make: tuple[str, ...]


KINDS: Mapping[str, Kind] = {
    "ext4": Kind(128 * MIB, ("mkfs.ext4", "-q", "-b", "4096", "-J", "size=8", "-E", _LAZY)),
    "xfs": Kind(300 * MIB, ("mkfs.xfs", "-q", "-K")),
    "btrfs": Kind(256 * MIB, ("mkfs.btrfs", "-q", "-K", "-m", "single")),
}


@dataclass(frozen=True)
class Failures:
    """What came of it.

    Attributes:
        flushes: How many flushes the build made.
        tried: How many failures were tried.
        lost: What was lost, or is not as it was without a failure, by failure.
    """

    flushes: int
    tried: int
    lost: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Recorded:
    """A build on a recorded disk.

    Attributes:
        trace: What was written.
        size: Bytes of the disk.
        start: How many flushes the disk had seen before the build began.
    """

    trace: Trace
    size: int
    start: int


@contextmanager
def _mounted(device: Path, place: Path) -> Iterator[Path]:
    place.mkdir()
    options = ("-o", "loop") if device.is_file() else ()
    subprocess.run(["mount", *options, device, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def _record(directory: Path, kind: Kind) -> Recorded:
    with recorded_disk(directory, kind.size) as disk:
        subprocess.run([*kind.make, disk.device], check=True, stdout=subprocess.DEVNULL)
        with _mounted(disk.device, directory / "built") as place:
            disk.mark.write_text("begin")
            Account("root", ()).run(PROGRAM, *map(str, (place / "store", place / "out", disk.mark)))
    trace = Trace.parse(disk.trace.read_bytes())
    start = next(n for n, epoch in enumerate(trace.epochs) if "begin" in epoch.marks)
    return Recorded(trace, kind.size, start)


def _look(
    directory: Path, recorded: Recorded, flush: int, dice: random.Random | None
) -> dict[str, Any]:
    """Look at the disk after the power failed, and go on with the build."""
    directory.mkdir()
    image = directory / "image"
    more = () if dice is None else recorded.trace.lost(flush, dice)
    write_image(image, recorded.size, (*recorded.trace.kept(flush), *more))
    try:
        with _mounted(image, directory / "mounted") as place, _warnings() as warnings:
            return {**check(place / "store", place / "out"), "warnings": warnings}
    except Exception:
        return {"failed": traceback.format_exc()}
    finally:
        image.unlink()


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collect the warnings of kiwinb."""
    found: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    handler = Collector(logging.WARNING)
    logging.getLogger("kiwinb").addHandler(handler)
    yield found
    logging.getLogger("kiwinb").removeHandler(handler)


def _wrong(said: Sequence[str], found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """What was lost, or is not as it was without a power failure."""
    if "failed" in found:
        return [found["failed"]]
    equal = ("trees", "images", "damage", "after")
    wrong = [f"{name}: {found[name]}" for name in equal if found[name] != expected[name]]
    wrong += [*found["warnings"], *(f"the history: {line}" for line in found["history"])]
    wrong += [
        f"{word} was reported, but it was made again"
        for word in said
        if word.startswith("done") and word.replace("done", "held", 1) not in found["said"]
    ]
    packs = {name: steps(name)[-1].key for name in BUILDS}
    wrong += [
        f"the record claims {file}, which is {what}"
        for file, what in found["before"].items()
        if file not in packs.values()
    ]
    last = said[-1]
    if last.startswith("delivered") and packs[last.split()[1]] not in found["before"]:
        wrong.append(f"{last} was reported, but the record has {found['before']}")
    return wrong


def fail(directory: Path, name: str, seed: int, most: int, again: int) -> Failures:
    """Build, and let the power fail at its flushes.

    Args:
        directory: An empty directory, best in memory.
        name: The file system, one of :data:`KINDS`.
        seed: For the dice.
        most: How many flushes to try.
        again: How often to try each with a part of what was written later.
    """
    dice = random.Random(seed)
    recorded = _record(directory, KINDS[name])
    trace = recorded.trace
    expected = _look(directory / "whole", recorded, len(trace.epochs) - 1, None)
    assert _wrong(trace.said(len(trace.epochs) - 1), expected, expected) == [], expected
    assert expected["damage"] == {} and {*expected["after"].values()} == {"whole"}
    moments = [number for number in trace.moments if number >= recorded.start]
    chosen = sorted(dice.sample(moments, min(most, len(moments))))
    lost = {}
    for flush in chosen:
        for number in range(1 + again):
            found = _look(
                directory / f"{flush}-{number}", recorded, flush, dice if number else None
            )
            said = trace.said(flush)
            if wrong := _wrong(said, found, expected):
                lost[f"flush {flush}, try {number}, after {said[-1]}"] = wrong
    return Failures(len(trace.epochs) - recorded.start, len(chosen) * (1 + again), lost)


def _main(directory: Path, name: str, *numbers: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8g", "none", directory], check=True)
    print(json.dumps(asdict(fail(directory, name, *map(int, numbers)))))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), *sys.argv[2:])
