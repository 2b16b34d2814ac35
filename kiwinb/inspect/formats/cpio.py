"""Read cpio archives in all formats that GNU cpio writes for Linux: newc, crc, odc and binary.

``allocated`` of a file is the size of its content in the archive, in whole units of the format's
padding (1, 2 or 4 bytes).

Sources of the formats: cpio(5) of FreeBSD, and the description of the initramfs buffer in the
documentation of Linux.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from kiwinb.inspect.formats.indexed import Facts
from kiwinb.inspect.formats.members import Member, Stored, clean
from kiwinb.inspect.formats.window import DamagedError, Window

_TRAILER = "TRAILER!!!"
_LONGEST_NAME = 65536

_FORMATS: Mapping[bytes, str] = {
    b"070701": "newc",
    b"070702": "crc",
    b"070707": "odc",
    b"\xc7\x71": "binary",
    b"\x71\xc7": "binary, big-endian",
}
MAGICS = tuple(_FORMATS)
"""What entries of archives begin with, one for each format."""


class Archive(NamedTuple):
    """A cpio archive.

    Attributes:
        format: Name of its format.
        end: Offset of its end in the window.
        members: Its entries.
    """

    format: str
    end: int
    members: tuple[Member, ...]


class _Header(NamedTuple):
    """The fields of a header that are of use, and where what follows is.

    Attributes:
        device: What tells files with equal inode numbers apart.
        name: Offset of the name, from the header.
        padding: Content and entries are padded to this number of bytes.
    """

    inode: int
    mode: int
    uid: int
    gid: int
    links: int
    mtime: int
    size: int
    device: tuple[int, ...]
    length: int
    name: int
    padding: int


def archive_format(window: Window, at: int = 0) -> str:
    """Return the name of the format of the archive at an offset; empty if there is none."""
    start = window.peek(at, 6)
    found = next((name for magic, name in _FORMATS.items() if start.startswith(magic)), "")
    if found.startswith("binary"):
        header = window.peek(at, 26)  # the magic is short, so other fields have to fit as well
        length = _binary(header, found).length if len(header) == 26 else 0
        return (
            found if 1 < length < 4096 and not window.peek(at + 25 + length, 1).strip(b"\0") else ""
        )
    return found


def read_archive(window: Window, start: int = 0) -> Archive:
    """Read one archive.

    Raises:
        DamagedError: The archive is damaged.
    """
    kind = archive_format(window, start)
    at = start
    links = _Links()
    members: list[Member] = []
    while archive_format(window, at):
        header = _header(window, at, kind)
        if not 0 < header.length <= _LONGEST_NAME:
            raise DamagedError(f"the entry at byte {at} has an impossible name")
        raw = window.read(at + header.name, header.length)
        name = raw.split(b"\0")[0].decode("utf-8", "surrogateescape")
        data = _padded(at + header.name + header.length, start, header.padding)
        at = min(_padded(data + header.size, start, header.padding), window.size)
        if name == _TRAILER:
            return Archive(kind, at, (*members, *links.left()))
        if data + header.size > window.size:
            raise DamagedError(f"it ends early, within {name}")
        members += links.resolved(_member(window, name, header, data), header)
    if at < window.size and window.peek(at, 1) != b"\0":
        raise DamagedError(f"there is no entry at byte {at}")
    return Archive(kind, at, (*members, *links.left()))


def _padded(at: int, start: int, padding: int) -> int:
    return at + (start - at) % padding


def _member(window: Window, name: str, header: _Header, data: int) -> Member:
    kind = stat.S_IFMT(header.mode)
    size = header.size
    target = window.read(data, min(size, _LONGEST_NAME)) if kind == stat.S_IFLNK else b""
    facts = Facts(
        header.mode,
        header.uid,
        header.gid,
        header.links,
        size,
        _padded(size, 0, header.padding),
        0,
        header.mtime,
        target.rstrip(b"\0"),
    )
    place = Stored(window, ((0, data, size),), size) if kind == stat.S_IFREG else None
    return Member(clean(name), facts, place)


class _Links:
    """Hard links, of which in some formats only the last one has the content."""

    def __init__(self) -> None:
        self._first: dict[tuple[int, ...], str] = {}
        self._waiting: dict[tuple[int, ...], list[Member]] = {}

    def resolved(self, member: Member, header: _Header) -> Iterator[Member]:
        """Yield the entry, and those that have waited for its content."""
        key = (*header.device, header.inode)
        kind = stat.S_IFMT(header.mode)
        if header.links < 2 or kind == stat.S_IFDIR:
            yield member
        elif key in self._first:
            yield member._replace(place=None, link=self._first[key])
        elif header.size or kind != stat.S_IFREG:
            self._first[key] = member.path
            yield member
            for other in self._waiting.pop(key, ()):
                yield other._replace(place=None, link=member.path)
        else:
            self._waiting.setdefault(key, []).append(member)

    def left(self) -> Iterator[Member]:
        """Yield the hard links to empty files."""
        for first, *others in self._waiting.values():
            yield first
            for other in others:
                yield other._replace(place=None, link=first.path)


def _header(window: Window, at: int, kind: str) -> _Header:
    if archive_format(window, at) != kind and kind not in ("newc", "crc"):
        raise DamagedError(f"the entry at byte {at} is of another format")
    match kind:
        case "newc" | "crc":
            raw = window.read(at, 110)
            fields = [int(raw[6 + 8 * index : 14 + 8 * index], 16) for index in range(13)]
            inode, mode, uid, gid, links, mtime, size, major, minor, _, _, length, _ = fields
            device: tuple[int, ...] = (major, minor)
            return _Header(
                inode, mode, uid, gid, links, mtime, size, device, length, name=110, padding=4
            )
        case "odc":
            raw = window.read(at, 76)
            ends = (12, 18, 24, 30, 36, 42, 48, 59, 65, 76)
            starts = (6, *ends[:-1])
            numbers = [int(raw[begin:end], 8) for begin, end in zip(starts, ends, strict=True)]
            dev, inode, mode, uid, gid, links, _, mtime, length, size = numbers
            return _Header(
                inode, mode, uid, gid, links, mtime, size, (dev,), length, name=76, padding=1
            )
        case _:
            return _binary(window.read(at, 26), kind)


def _binary(raw: bytes, kind: str) -> _Header:
    order = ">" if kind.endswith("big-endian") else "<"
    words = struct.unpack(f"{order}13H", raw)
    _, dev, inode, mode, uid, gid, links, _, high, low, length, upper, lower = words
    mtime, size = high << 16 | low, upper << 16 | lower
    return _Header(inode, mode, uid, gid, links, mtime, size, (dev,), length, name=26, padding=2)
