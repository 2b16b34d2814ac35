"""Stamps of a tree: digests of what the kernel notes of each file, taken without reading any.

The kernel sets the change time of a file, directory or node whenever its content, its metadata or
the names in it change, and no program can set that time to a value of its choice. So as long as
inode numbers, sizes and change times are the same, everything else is.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kiwinb.checkpoints.treescan import Found, walk
from kiwinb.steps.keys import Digest


@dataclass(frozen=True)
class Stamps:
    """The stamps of a tree.

    Attributes:
        quick: Of the type, inode number, size and change time of each path; another place or
            another user namespace does not matter, but a copy of the tree has another one.
        times: Of the modification time of each path, which manifests do not list.
    """

    quick: Digest
    times: Digest


def take_stamps(found: Iterable[Found]) -> Stamps:
    """Return the stamps of a tree, listed by :func:`~kiwinb.checkpoints.treescan.walk`."""
    ordered = sorted(found, key=lambda item: item[0])
    times = b"".join(b"%b\0%d\n" % (path, status.st_mtime_ns) for path, status in ordered)
    return Stamps(_quick(ordered), hashlib.sha256(times).hexdigest())


def quick_stamp(root: Path) -> Digest:
    """Return the quick stamp of a tree.

    Raises:
        OSError: The tree cannot be listed.
    """
    return _quick(sorted(walk(os.fsencode(root)), key=lambda item: item[0]))


def _quick(ordered: Iterable[Found]) -> Digest:
    rows = b"".join(
        b"%b\0%o %d %d %d\n"
        % (
            path,
            stat.S_IFMT(status.st_mode),
            status.st_ino,
            0 if stat.S_ISDIR(status.st_mode) else status.st_size,
            status.st_ctime_ns,
        )
        for path, status in ordered
    )
    return hashlib.sha256(rows).hexdigest()
