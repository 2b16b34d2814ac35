"""The part of a root tree that goes into a file system."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kiwinb.checkpoints.treescan import Entry
from kiwinb.storage.sparse import BLOCK, data_pieces, has_holes
from kiwinb.storage.treewalk import select

TYPES = {
    "file": stat.S_IFREG,
    "directory": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "fifo": stat.S_IFIFO,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
}
"""File type bits of a mode, by kind of entry."""


@dataclass(frozen=True)
class Content:
    """Content of a file system.

    Attributes:
        root: The directory that becomes its root.
        exclude: Paths to leave out; see :func:`kiwinb.storage.treewalk.select`.
        epoch: Latest time of an entry, in seconds since 1970-01-01 UTC; later ones become this.
    """

    root: Path
    exclude: tuple[str, ...]
    epoch: int

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """All entries, in depth-first order; see :func:`kiwinb.storage.treewalk.select`."""
        return select(self.root, self.exclude)

    @cached_property
    def links(self) -> Counter[bytes]:
        """Number of names of each file with several names, by the first of them."""
        return Counter(entry.link for entry in self.entries if entry.link)

    def source(self, entry: Entry) -> bytes:
        """Return the path of an entry on the host."""
        return os.path.join(os.fsencode(self.root), entry.path)  # noqa: PTH118 - bytes

    def modified_ns(self, entry: Entry) -> int:
        """Return the modification time of an entry, in nanoseconds since 1970-01-01 UTC."""
        return max(0, min(os.lstat(self.source(entry)).st_mtime_ns, self.epoch * 10**9))

    def sparse(self, entry: Entry) -> bool:
        """Tell whether blocks of zeros in a file become holes."""
        return has_holes(os.lstat(self.source(entry)))

    def pieces(self, entry: Entry) -> Iterator[tuple[int, bytes]]:
        """Yield the content of a file without its holes, as (offset in bytes, data)."""
        return data_pieces(self.source(entry), entry.size)

    @cached_property
    def need(self) -> Need:
        """Space that the content needs in a file system."""
        names = Counter(os.path.dirname(entry.path) for entry in self.entries)  # noqa: PTH120
        size = inodes = 0
        for entry in self.entries:
            if entry.link not in (b"", entry.path):
                continue
            inodes += 1
            used = len(entry.xattrs) and BLOCK
            if entry.kind == "file":
                used += entry.size if not self.sparse(entry) else _allocated(self, entry)
            elif entry.kind == "directory":
                used += BLOCK + 64 * names[entry.path if entry.path != b"." else b""]
            elif len(entry.target) >= 60:
                used += BLOCK
            size += _rounded(used)
        return Need(size, inodes)


@dataclass(frozen=True)
class Need:
    """Space that a tree needs in a file system.

    Attributes:
        size: Size of content, names and attributes in bytes, in whole blocks.
        inodes: Number of files, directories and other entries; hard links count once.
    """

    size: int
    inodes: int


def name_of(entry: Entry) -> bytes:
    """Return the last part of the path of an entry."""
    return os.path.basename(entry.path)  # noqa: PTH119 - bytes


def parent_of(entry: Entry) -> bytes:
    """Return the path of the directory that holds an entry."""
    return os.path.dirname(entry.path) or b"."  # noqa: PTH120 - bytes


def shown(path: bytes) -> str:
    """Format a path for messages."""
    return path.decode("utf-8", "backslashreplace").replace("\n", "\\n")


def counted(entries: Sequence[Entry], report: Callable[[float], None]) -> Iterator[Entry]:
    """Yield entries, and report the completed fraction on the way."""
    total = sum(entry.size for entry in entries) + len(entries) * BLOCK
    done = 0
    for number, entry in enumerate(entries):
        yield entry
        done += entry.size + BLOCK
        if number % 256 == 0:
            report(done / total)


def _allocated(content: Content, entry: Entry) -> int:
    return sum(_rounded(len(piece)) for _, piece in content.pieces(entry))


def _rounded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
