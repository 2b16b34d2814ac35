"""Read tar archives.

``allocated`` of a file is the size of its content in the uncompressed archive, in whole blocks of
512 bytes.
"""

from __future__ import annotations

import stat
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, cast

from kiwinb.inspect.formats.indexed import Facts, IndexedTree, Rows
from kiwinb.inspect.formats.members import Member, Stored, Unpacked, clean
from kiwinb.inspect.formats.window import DamagedError, UnsupportedError, Window
from kiwinb.inspect.tree import Hole
from kiwinb.tar_entries import OtherArchiveError, TarEntry, tar_entries

_MODES = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.AREGTYPE: stat.S_IFREG,
    tarfile.CONTTYPE: stat.S_IFREG,
    tarfile.GNUTYPE_SPARSE: stat.S_IFREG,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
}


class _WindowFile:
    """A window as a file object for :mod:`tarfile`."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        left = max(self._window.size - self._at, 0)
        found = self._window.peek(self._at, left if size < 0 else size)
        self._at += len(found)
        return found

    def seek(self, at: int, whence: int = 0) -> int:
        self._at = at if whence == 0 else at + (self._at if whence == 1 else self._window.size)
        return self._at

    def tell(self) -> int:
        return self._at


def tar_members(window: Window) -> Iterator[Member]:
    """Yield the entries of a tar archive, in its order."""
    file = cast(BinaryIO, _WindowFile(window))
    try:
        with tarfile.open(
            fileobj=file, mode="r:", tarinfo=TarEntry, errors="surrogateescape"
        ) as archive:
            for info in tar_entries(archive):
                if info.type == tarfile.LNKTYPE:
                    facts = _tar_facts(info, stat.S_IFREG)
                    yield Member(clean(info.name), facts, None, clean(info.linkname))
                    continue
                kind = _MODES[info.type]
                place = _tar_place(window, info, kind)
                yield Member(clean(info.name), _tar_facts(info, kind), place)
    except OtherArchiveError as error:
        raise UnsupportedError(
            str(error), "Extract it with GNU tar, all volumes together, and pack the files again."
        ) from error


def _tar_facts(info: tarfile.TarInfo, kind: int) -> Facts:
    mode = kind | info.mode & 0o7777
    target = b""
    if kind == stat.S_IFLNK:
        target = info.linkname.encode("utf-8", "surrogateescape")
        mode = kind | 0o777  # as always on Linux
    size = info.size if kind == stat.S_IFREG else 0
    if info.type == tarfile.LNKTYPE:
        size = 0
    stored = sum(length for _at, length in _sparse(info)) if info.sparse is not None else size
    allocated = -(-stored // 512) * 512
    links = 2 if kind == stat.S_IFDIR else 1
    return Facts(mode, info.uid, info.gid, links, size, allocated, 0, int(info.mtime // 1), target)


def _sparse(info: tarfile.TarInfo) -> Sequence[tuple[int, int]]:
    """Return the runs of data of a sparse file: offset in the file, and length in bytes."""
    return cast(Sequence[tuple[int, int]], info.sparse)


def _tar_place(window: Window, info: tarfile.TarInfo, kind: int) -> Stored | None:
    if kind != stat.S_IFREG:
        return None
    if info.sparse is None:
        runs: tuple[tuple[int, int, int], ...] = ((0, info.offset_data, info.size),)
    else:
        at = info.offset_data
        found = []
        for start, length in _sparse(info):
            if length:
                found.append((start, at, length))
            at += length
        runs = tuple(found)
    end = max((place + length for _start, place, length in runs), default=0)
    if end > window.size:
        raise DamagedError(f"it ends early, within {info.name}, or is the first of several volumes")
    return Stored(window, runs, info.size)


class MemberTree(IndexedTree):
    """A tree from a sequence of entries, in which later entries replace earlier ones."""

    what = "an archive"

    def _members(self) -> Iterator[Member]:
        raise NotImplementedError

    def _list(self, rows: Rows) -> None:
        unpacked = Unpacked()
        unpacked.unpack(self._members())
        unpacked.fill(rows)

    def _pieces(self, place: Any, size: int) -> Iterator[bytes | Hole]:
        stored: Stored = place
        return stored.pieces()


class TarTree(MemberTree):
    """A tar archive."""

    what = "a tar archive"

    def __init__(self, window: Window, name: str) -> None:
        super().__init__(name)
        self._window = window

    @staticmethod
    def probe(window: Window) -> bool:
        """Tell whether the checksum of the first header is right."""
        header = window.peek(0, 512)
        if len(header) < 512 or not header.strip(b"\0"):
            return False
        with suppress(ValueError):
            said = int(header[148:156].strip(b" \0") or b"x", 8)
            return said == sum(header[:148]) + 8 * 32 + sum(header[156:])
        return False

    def _members(self) -> Iterator[Member]:
        return tar_members(self._window)

    def close(self) -> None:
        """Close the file."""
        self._window.close()
