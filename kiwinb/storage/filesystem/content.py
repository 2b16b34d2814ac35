"""The part of a root tree that goes into a file system."""

from __future__ import annotations

import enum
import fcntl
import os
import stat
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from kiwinb.checkpoints.treescan import Entry
from kiwinb.sandbox.reach import Reach
from kiwinb.storage.sparse import BLOCK, data_pieces, has_holes
from kiwinb.storage.treewalk import select

TYPES = {
    "file": stat.S_IFREG,
    "directory": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "fifo": stat.S_IFIFO,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
    "socket": stat.S_IFSOCK,
}
"""File type bits of a mode, by kind of entry."""

NAME_TYPES = {
    **{"file": 1, "directory": 2, "char": 3, "block": 4},
    **{"fifo": 5, "socket": 6, "symlink": 7},
}
"""File type in an entry of a directory, by kind of entry; ext, XFS and btrfs have the same."""

_GET_FLAGS = 0x80086601  # linux/fs.h


class Flag(enum.IntFlag):
    """Attributes that ``chattr`` sets, with the kernel's numbers; all that kiwinb keeps."""

    SYNC = 0x8
    IMMUTABLE = 0x10
    APPEND = 0x20
    NODUMP = 0x40
    NOATIME = 0x80


_KEPT = sum(Flag)

PROTECTION = int(Flag.IMMUTABLE | Flag.APPEND)
"""Flags that new files do not inherit from their directory."""


@dataclass(frozen=True)
class Content:
    """Content of a file system.

    Attributes:
        root: The directory that becomes its root.
        exclude: Paths to leave out; see :func:`kiwinb.storage.treewalk.select`.
        epoch: Latest time of an entry, in seconds since 1970-01-01 UTC; later ones become this.
        hashed: Whether to hash the content of files.
    """

    root: Path
    exclude: tuple[str, ...]
    epoch: int
    hashed: bool = False

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """All entries, in depth-first order; see :func:`kiwinb.storage.treewalk.select`."""
        return select(self.root, self.exclude, contents=self.hashed)

    @cached_property
    def _reach(self) -> Reach:
        return Reach(os.fsencode(self.root))

    @cached_property
    def _facts(self) -> dict[bytes, _Fact]:
        """What the entries do not tell, by path."""
        found = {}
        inherited = _flags(self.source(self.entries[0])) & ~PROTECTION
        for entry in self.entries:
            source = self.source(entry)
            status = os.lstat(source)
            has_flags = entry.kind == "file" or entry.kind == "directory"
            flags = _flags(source) & ~inherited if has_flags else 0
            found[entry.path] = _Fact(status.st_mtime_ns, has_holes(status), flags)
        return found

    @cached_property
    def links(self) -> Counter[bytes]:
        """Number of names of each file with several names, by the first of them."""
        return Counter(entry.link for entry in self.entries if entry.link)

    def source(self, entry: Entry) -> bytes:
        """Return the path of an entry on the host, which works until the next call."""
        return self._reach.path(entry.path)

    def modified_ns(self, entry: Entry) -> int:
        """Return the modification time of an entry, in nanoseconds since 1970-01-01 UTC."""
        return min(self._facts[entry.path].modified_ns, self.epoch * 10**9)

    def sparse(self, entry: Entry) -> bool:
        """Tell whether blocks of zeros in a file become holes."""
        return self._facts[entry.path].sparse

    def flags(self, entry: Entry) -> int:
        """Return the flags of a file or directory, as numbers of :class:`Flag`.

        Flags of the tree's root that files inherit come from the directory of the store, and are
        left out.
        """
        return self._facts[entry.path].flags

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


class _Fact(NamedTuple):
    modified_ns: int
    sparse: bool
    flags: int


def _flags(path: bytes) -> int:
    """Return the flags of a file or directory; none if its file system has no flags."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        data = fcntl.ioctl(descriptor, _GET_FLAGS, bytes(8))
    except OSError:
        return 0
    finally:
        os.close(descriptor)
    return int.from_bytes(data[:4], sys.byteorder) & _KEPT


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
