"""Read headers of rpm, which hold all that its database knows of a package.

Source of the format: "RPM Package Header format" in the manual of rpm.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from enum import IntEnum

from kiwinb.packages.databases.bounds import damaged

_MAGIC = b"\x8e\xad\xe8\x01\0\0\0\0"
_ENTRY = struct.Struct(">IIiI")
_MOST_TAGS = 1 << 16
_IMMUTABLE = 63
_SHA1, _SHA256 = 269, 273
_BINARY = 7
_STRINGS = (6, 8, 9)
_NUMBERS = {1: "B", 2: "B", 3: "H", 4: "I", 5: "Q", _BINARY: "B"}


class Tag(IntEnum):
    """The tags of a header that kiwinb reads."""

    NAME = 1000
    VERSION = 1001
    RELEASE = 1002
    EPOCH = 1003
    SUMMARY = 1004
    INSTALLTIME = 1008
    SIZE = 1009
    VENDOR = 1011
    LICENSE = 1014
    GROUP = 1016
    ARCH = 1022
    PREIN = 1023
    POSTIN = 1024
    OLDFILENAMES = 1027
    FILESIZES = 1028
    FILESTATES = 1029
    FILEMODES = 1030
    FILEDIGESTS = 1035
    FILELINKTOS = 1036
    FILEFLAGS = 1037
    SOURCERPM = 1044
    FILEVERIFYFLAGS = 1045
    PROVIDENAME = 1047
    REQUIREFLAGS = 1048
    REQUIRENAME = 1049
    REQUIREVERSION = 1050
    CONFLICTFLAGS = 1053
    CONFLICTNAME = 1054
    CONFLICTVERSION = 1055
    OBSOLETENAME = 1090
    PROVIDEFLAGS = 1112
    PROVIDEVERSION = 1113
    OBSOLETEFLAGS = 1114
    OBSOLETEVERSION = 1115
    CHANGELOGTIME = 1080
    CHANGELOGNAME = 1081
    CHANGELOGTEXT = 1082
    DIRINDEXES = 1116
    BASENAMES = 1117
    DIRNAMES = 1118
    PRETRANS = 1151
    POSTTRANS = 1152
    LONGFILESIZES = 5008
    LONGSIZE = 5009
    FILEDIGESTALGO = 5011
    RECOMMENDNAME = 5046
    RECOMMENDVERSION = 5047
    RECOMMENDFLAGS = 5048


class Header:
    """A header as databases store it, without the magic number.

    Args:
        blob: The header.
        where: Its place, for errors.

    Raises:
        InspectError: It is damaged, or does not match its own digest.
    """

    def __init__(self, blob: bytes, where: str) -> None:
        self._where = where
        if len(blob) < 8:
            raise damaged(where, "a header of a package is cut off")
        count, size = struct.unpack_from(">II", blob)
        start = 8 + count * _ENTRY.size
        if not 0 < count < _MOST_TAGS or start + size > len(blob):
            raise damaged(where, "a header of a package is cut off")
        self._data = blob[start : start + size]
        self._entries: Mapping[int, tuple[int, int, int]] = {
            # What rpm added at installation comes last, and counts.
            tag: (kind, offset, number)
            for tag, kind, offset, number in _ENTRY.iter_unpack(blob[8:start])
        }
        self._check_digest(blob, count)

    def strings(self, tag: int) -> list[str]:
        """Return the strings of a tag; for translated strings, the untranslated one is the first.

        Raises:
            InspectError: The header is damaged.
        """
        if tag not in self._entries:
            return []
        kind, offset, number = self._entries[tag]
        if kind not in _STRINGS or not 0 <= offset <= len(self._data):
            raise self._damaged(tag)
        found = self._data[offset:].split(b"\0", number)[:-1]
        if len(found) != number:
            raise self._damaged(tag)
        return [text.decode("utf-8", "surrogateescape") for text in found]

    def numbers(self, tag: int) -> tuple[int, ...]:
        """Return the numbers of a tag.

        Raises:
            InspectError: The header is damaged.
        """
        if tag not in self._entries:
            return ()
        kind, offset, number = self._entries[tag]
        letter = _NUMBERS.get(kind)
        if letter is None or offset < 0:
            raise self._damaged(tag)
        if offset + number * struct.calcsize(letter) > len(self._data):
            raise self._damaged(tag)
        return struct.unpack_from(f">{number}{letter}", self._data, offset)

    def text(self, tag: int) -> str:
        """Return the first string of a tag, or an empty one.

        Raises:
            InspectError: The header is damaged.
        """
        return next(iter(self.strings(tag)), "")

    def number(self, tag: int) -> int | None:
        """Return the first number of a tag.

        Raises:
            InspectError: The header is damaged.
        """
        return next(iter(self.numbers(tag)), None)

    def _damaged(self, tag: int) -> Exception:
        return damaged(self._where, f"the tag {tag} of a header is damaged")

    def _check_digest(self, blob: bytes, count: int) -> None:
        """Compare the part of the header that came with the package with its digest."""
        kind, offset, size = self._entries.get(_IMMUTABLE, (0, 0, 0))
        digest = self._digest()
        if not kind or not digest:
            return
        if kind != _BINARY or size != _ENTRY.size or not 0 <= offset <= len(self._data) - size:
            raise self._damaged(_IMMUTABLE)
        tag, _kind, back, _size = _ENTRY.unpack_from(self._data, offset)
        entries = -back // _ENTRY.size
        if tag != _IMMUTABLE or back % _ENTRY.size or not 0 < entries <= count:
            raise self._damaged(_IMMUTABLE)
        hasher = hashlib.new("sha256" if len(digest) == 64 else "sha1", usedforsecurity=False)
        hasher.update(_MAGIC)
        hasher.update(struct.pack(">II", entries, offset + size))
        hasher.update(blob[8 : 8 + entries * _ENTRY.size])
        hasher.update(self._data[: offset + size])
        if hasher.hexdigest() != digest:
            raise damaged(self._where, f"the header of {self.text(Tag.NAME)} is not as it was made")

    def _digest(self) -> str:
        return self.text(_SHA256) or self.text(_SHA1)
