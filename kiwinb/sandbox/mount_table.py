"""The mounts that a process sees.

Source of the format: proc_pid_mountinfo(5).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TABLE = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Mount:
    """A mounted file system.

    Attributes:
        point: Where it is mounted; bytes that are not UTF-8 are escaped as in :func:`os.fsdecode`.
        kind: Its type, such as ``ext4`` or ``fuse.bindfs``.
    """

    point: str
    kind: str


def mounts(table: Path = _TABLE) -> Iterator[Mount]:
    """Yield the mounts, later ones over earlier ones; none if they cannot be read.

    Args:
        table: The file that lists them.
    """
    try:
        lines = table.read_bytes().rstrip(b"\n").split(b"\n")
    except OSError:
        return
    for line in lines:
        before, _, after = line.partition(b" - ")
        point = _unescaped(before.split(b" ")[4])
        yield Mount(os.fsdecode(point), os.fsdecode(after.split(b" ")[0]))


def _unescaped(text: bytes) -> bytes:
    """Replace the octal escapes."""
    first, *others = text.split(b"\\")
    return first + b"".join(bytes([int(part[:3], 8)]) + part[3:] for part in others)


def filesystem_of(place: Path, table: Path = _TABLE) -> str | None:
    """Return the type of the file system of a path, which need not exist; ``None`` if unknown.

    Args:
        place: The path.
        table: The file that lists mounts.
    """
    real = os.path.realpath(place)
    best = Mount("", "")
    for found in mounts(table):
        inside = real == found.point or real.startswith(found.point.rstrip("/") + "/")
        if inside and len(found.point) >= len(best.point):
            best = found
    return best.kind or None
