"""Read tar archives, and put the entries of archives over one another.

``allocated`` of a file is the size of its content in the uncompressed archive, in whole blocks of
512 bytes.
"""

from __future__ import annotations

import stat
import tarfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple, cast

from kiwinb.inspect.formats.indexed import Facts, IndexedTree, Rows
from kiwinb.inspect.formats.window import DamagedError, Window
from kiwinb.inspect.tree import Hole

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


def clean(name: str) -> str:
    """Turn a name in an archive into an absolute path; ``..`` never leaves the root."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


class Member(NamedTuple):
    """An entry of an archive.

    Attributes:
        path: Absolute path.
        facts: Metadata.
        place: Place of its content; ``None`` if it has none.
        link: Path of the entry to which it is a hard link; empty if it is not a hard link.
    """

    path: str
    facts: Facts
    place: Stored | None
    link: str = ""


class Stored(NamedTuple):
    """Place of the content of a file.

    Attributes:
        window: The archive.
        runs: Runs of data: offset in the file, offset in the archive, and length in bytes.
        size: Size of the content in bytes, including holes.
    """

    window: Window
    runs: tuple[tuple[int, int, int], ...]
    size: int

    def pieces(self) -> Iterator[bytes | Hole]:
        """Yield the content."""
        at = 0
        for start, place, length in self.runs:
            if start < at:
                raise DamagedError("the pieces of a sparse file overlap")
            if start > at:
                yield Hole(start - at)
            yield from self.window.pieces(place, length)
            at = start + length
        if at < self.size:
            yield Hole(self.size - at)


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
    with tarfile.open(fileobj=file, mode="r:", errors="surrogateescape") as archive:
        while (info := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # otherwise it keeps them all
            if info.type == tarfile.LNKTYPE:
                yield Member(
                    clean(info.name), _tar_facts(info, stat.S_IFREG), None, clean(info.linkname)
                )
                continue
            kind = _MODES.get(info.type)
            if kind is None:
                kind = stat.S_IFREG  # as POSIX requires for unknown types
            yield Member(clean(info.name), _tar_facts(info, kind), _tar_place(window, info, kind))


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
        raise DamagedError(f"it ends early, within {info.name}")
    return Stored(window, runs, info.size)


class MemberTree(IndexedTree):
    """A tree from a sequence of entries, in which later entries replace earlier ones."""

    what = "an archive"

    def _members(self) -> Iterator[Member]:
        raise NotImplementedError

    def _list(self, rows: Rows) -> None:
        fill(rows, apply(self._members(), {}))

    def _pieces(self, place: Any, size: int) -> Iterator[bytes | Hole]:
        stored: Stored = place
        return stored.pieces()


Entries = dict[str, tuple[Facts, Stored | None]]
"""Entries, by path; hard links to the same file have the same inode."""


def apply(members: Iterable[Member], entries: Entries) -> Entries:
    """Add the entries of an archive to existing ones, which they replace."""
    number = max((facts.inode for facts, _place in entries.values()), default=0)
    replaced = False
    for member in members:
        number += 1
        facts, place = member.facts._replace(inode=number), member.place
        if member.link:
            known = entries.get(member.link)
            if known is None:
                raise DamagedError(
                    f"{member.path} is a hard link to {member.link}, which is not there"
                )
            facts, place = known
        old = entries.get(member.path)
        if old and stat.S_ISDIR(old[0].mode) and not stat.S_ISDIR(facts.mode):
            replaced = True
        entries[member.path] = facts, place
    if replaced:
        files = {path for path, (facts, _) in entries.items() if not stat.S_ISDIR(facts.mode)}
        without(entries, files, files)
    return entries


def ancestors(path: str) -> Iterator[str]:
    """Yield the parent directories of a path, the nearest first, without the root."""
    while path := path.rpartition("/")[0]:
        yield path


def without(entries: Entries, doomed: Collection[str], kept: Collection[str] = ()) -> None:
    """Remove paths and everything below them.

    Args:
        entries: The entries to remove paths from.
        doomed: The paths to remove.
        kept: Paths in ``doomed`` below which everything is removed, but which stay themselves.
    """
    for path in list(entries):
        if (path in doomed and path not in kept) or any(a in doomed for a in ancestors(path)):
            del entries[path]


def fill(rows: Rows, entries: Entries) -> None:
    """Add entries to rows, with the number of their hard links."""
    count: dict[int, int] = {}
    for facts, _place in entries.values():
        count[facts.inode] = count.get(facts.inode, 0) + 1
    inner: dict[str, int] = {}
    for path, (facts, _place) in entries.items():
        if stat.S_ISDIR(facts.mode) and path != "/":
            parent = path.rpartition("/")[0] or "/"
            inner[parent] = inner.get(parent, 0) + 1
    for path, (facts, place) in entries.items():
        links = 2 + inner.get(path, 0) if stat.S_ISDIR(facts.mode) else count[facts.inode]
        rows.add(path, facts._replace(links=links), place)


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
