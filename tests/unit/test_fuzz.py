"""Mutants of all kinds of images, archives, lists and databases end well, in bounded time."""

from __future__ import annotations

import lzma
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import fuzz
import pytest

EACH = 12
EACH_OF_SLOW = 2
SOAKED = 300

PROGRAMS = (
    *("bsdtar", "cpio", "lz4", "lzop", "mcopy", "mke2fs", "mkfs.btrfs", "mkfs.erofs", "mkfs.vfat"),
    *("mkfs.xfs", "mksquashfs", "qemu-img", "sfdisk", "xorriso", "xz", "zstd"),
)

pytestmark = pytest.mark.needs(*PROGRAMS)


def _run(kind: str, top: Path, numbers: range) -> None:
    verdicts: Counter[str] = Counter()
    faults = []
    for number, found in fuzz.run(fuzz.Images(top), kind, numbers):
        verdicts[found] += 1
        if not fuzz.is_good(found):
            faults.append(f"{kind} {number}: {found}")
    assert not faults
    assert verdicts.total() == len(numbers)
    print(f"{kind}: {dict(verdicts)}")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_mutants(kind: str, tmp_path: Path) -> None:
    _run(kind, tmp_path, range(EACH_OF_SLOW if kind in fuzz.SLOW else EACH))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_many_mutants(kind: str, tmp_path: Path) -> None:
    """Other ones each time; the message of a failure has the number of the mutant."""
    start = random.SystemRandom().randrange(1 << 40)
    _run(kind, tmp_path, range(start, start + SOAKED))


@pytest.mark.parametrize("file", sorted(fuzz.KEPT.glob("*.xz")), ids=lambda file: file.name)
def test_what_failed_once(file: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(lzma.decompress(file.read_bytes()))
    lines, status = fuzz.in_child(lambda tell: tell(fuzz.verdict(image)))
    assert status == 0
    assert all(fuzz.is_good(line) for line in lines), lines


def _wrong(image: Path) -> None:
    raise KeyError("x")


def _large(image: Path) -> None:
    bytearray(fuzz.MEMORY)


def _slow(image: Path) -> None:
    while True:
        pass


def _dead(image: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("reader", "said"),
    [
        (_wrong, "KeyError"),
        (_large, "out of memory"),
        (_slow, "more than 1 s"),
        (_dead, "the process ended with -9"),
    ],
)
def test_faults_are_found(
    reader: Callable[[Path], None], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = fuzz.Images(tmp_path)
    images.seed("tar")  # which is read, too
    monkeypatch.setattr(fuzz, "SECONDS", 1.0)
    monkeypatch.setattr(fuzz, "read_all", reader)
    found = list(fuzz.run(images, "tar", range(2)))
    assert [number for number, _said in found] == [0, 1]
    assert all(verdict.startswith(said) for _number, verdict in found), found
