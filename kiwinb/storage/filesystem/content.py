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
from kiwinb.storage.treewalk import select

BLOCK = 4096
"""Block size in bytes; sizes and holes are multiples of it."""

TYPES = {
    "file": stat.S_IFREG,
    "directory": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "fifo": stat.S_IFIFO,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
}
"""File type bits of a mode, by kind of entry."""

_PIECE = 1 << 20
_NO_BLOCK = bytes(BLOCK)


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
        return os.lstat(self.source(entry)).st_blocks * 512 < entry.size

    def pieces(self, entry: Entry) -> Iterator[tuple[int, bytes]]:
        """Yield the content of a file without its holes, as (offset in bytes, data)."""
        sparse = self.sparse(entry)
        with open(self.source(entry), "rb", buffering=0) as file:  # noqa: PTH123 - bytes
            for start, end in _extents(file.fileno()) if sparse else ((0, entry.size),):
                file.seek(start)
                offset = start
                while piece := file.read(min(_PIECE, end - offset)):
                    yield from _filled(offset, piece) if sparse else ((offset, piece),)
                    offset += len(piece)

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


def _extents(descriptor: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of the ranges in which a file has data, in bytes and whole blocks."""
    end, size = 0, os.fstat(descriptor).st_size
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA) // BLOCK * BLOCK
        except OSError:  # ENXIO: only a hole follows
            return
        end = min(_rounded(os.lseek(descriptor, max(start, end), os.SEEK_HOLE)), size)
        yield start, end


def _filled(offset: int, piece: bytes) -> Iterator[tuple[int, bytes]]:
    start = None
    for at in range(0, len(piece), BLOCK):
        block = piece[at : at + BLOCK]
        if block == _NO_BLOCK[: len(block)]:
            if start is not None:
                yield offset + start, piece[start:at]
            start = None
        elif start is None:
            start = at
    if start is not None:
        yield offset + start, piece[start:]


def _allocated(content: Content, entry: Entry) -> int:
    return sum(_rounded(len(piece)) for _, piece in content.pieces(entry))


def _rounded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
