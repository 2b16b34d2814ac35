"""Read FAT12, FAT16 and FAT32 file systems.

Owners and modes are the same as in a Linux mount without options: user and group 0, and mode 0755,
or 0555 for read-only files. Times are read as UTC.

Sources of the format: Microsoft's "FAT: General Overview of On-Disk Format" and "FAT32 File System
Specification".
"""

from __future__ import annotations

import calendar
import stat
import struct
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from kiwinb.inspect.formats.indexed import Facts, InodeTree, Volume
from kiwinb.inspect.formats.window import DamagedError, Window
from kiwinb.inspect.tree import Hole

_READ_ONLY, _VOLUME_LABEL, _DIRECTORY, _LONG_NAME = 0x01, 0x08, 0x10, 0x0F
_ENTRY = struct.Struct("<11sBBBHHHHHHHI")
_LOWER_BASE, _LOWER_EXTENSION = 0x08, 0x10
_MOST_IN_DIRECTORY = 65536 * 32 * 2


@dataclass(frozen=True)
class _Place:
    """A file or directory.

    Attributes:
        at: Byte offset of its entry in the file system; 0 for the root.
        cluster: Its first cluster; 0 if it is empty, or for the root of FAT12 and FAT16.
        size: Size of a file in bytes.
        attributes: Attribute bits, such as read-only and directory.
        mtime: Modification time, in seconds since 1970-01-01 UTC.
    """

    at: int
    cluster: int
    size: int
    attributes: int
    mtime: int


class FatTree(InodeTree):
    """A FAT file system."""

    what = "a FAT file system"

    def __init__(self, window: Window, name: str) -> None:
        super().__init__(name)
        self._window = window
        boot = window.read(0, 512)
        (self._sector, per_cluster, reserved, copies, root_entries, small, _m, table) = (
            struct.unpack_from("<HBHBHHBH", boot, 11)
        )
        (large,) = struct.unpack_from("<I", boot, 32)
        (large_table,) = struct.unpack_from("<I", boot, 36)
        if self._sector not in (512, 1024, 2048, 4096) or not per_cluster or not copies:
            raise DamagedError("impossible sizes in its boot sector")
        self._sectors = small or large
        table = table or large_table
        self._cluster = self._sector * per_cluster
        self._table_at = reserved * self._sector
        self._table_size = table * self._sector
        self._root_at = self._table_at + copies * self._table_size
        self._root_size = -(-root_entries * 32 // self._sector) * self._sector
        self._data_at = self._root_at + self._root_size
        self._clusters = (self._sectors * self._sector - self._data_at) // self._cluster
        if self._clusters <= 0:
            raise DamagedError("it has no room for data")
        self._bits = 12 if self._clusters < 4085 else 16 if self._clusters < 65525 else 32
        if not root_entries:
            self._bits = 32
        self._root_cluster = struct.unpack_from("<I", boot, 44)[0] if self._bits == 32 else 0
        extended = 66 if self._bits == 32 else 38
        self._serial, self._label = 0, b""
        if boot[extended] in (0x28, 0x29):
            self._serial, self._label = struct.unpack_from("<I11s", boot, extended + 1)

    @staticmethod
    def probe(window: Window) -> bool:
        """Tell whether the content looks like this format."""
        boot = window.peek(0, 512)
        if len(boot) < 512 or boot[510:] != b"\x55\xaa" or boot[0] not in (0xEB, 0xE9):
            return False
        sector, per_cluster, reserved, copies, _root, small = struct.unpack_from(
            "<HBHBHH", boot, 11
        )
        (large,) = struct.unpack_from("<I", boot, 32)
        named = boot[54:57] == b"FAT" or boot[82:87] == b"FAT32"
        return bool(
            sector in (512, 1024, 2048, 4096)
            and per_cluster
            and per_cluster & per_cluster - 1 == 0
            and reserved
            and copies in (1, 2)
            and boot[21] >= 0xF0
            and (small or large)
            and named
        )

    @cached_property
    def _next(self) -> np.ndarray[Any, np.dtype[np.uint32]]:
        """The next cluster of each cluster."""
        wanted = -(-(self._clusters + 2) * self._bits // 8)
        data = self._window.read(self._table_at, min(self._table_size, wanted))
        if self._bits == 32:
            whole = np.frombuffer(data[: len(data) // 4 * 4], "<u4")
            return whole & np.uint32(0x0FFFFFFF)
        if self._bits == 16:
            return np.frombuffer(data[: len(data) // 2 * 2], "<u2").astype(np.uint32)
        triples = np.frombuffer(data[: len(data) // 3 * 3], np.uint8).reshape(-1, 3)
        triples = triples.astype(np.uint32)
        found = np.empty(2 * len(triples), np.uint32)
        found[0::2] = triples[:, 0] | (triples[:, 1] & 15) << 8
        found[1::2] = triples[:, 1] >> 4 | triples[:, 2] << 4
        return found

    @property
    def volume(self) -> Volume:
        """The file system as a whole."""
        used = int(np.count_nonzero(self._next[2 : self._clusters + 2]))
        label = self._directory_label() or self._label
        text = label.decode("cp437").rstrip()
        return Volume(
            "vfat",
            "" if text == "NO NAME" else text,
            f"{self._serial >> 16:04X}-{self._serial & 0xFFFF:04X}",
            self._sectors * self._sector,
            self._data_at + used * self._cluster,
        )

    def _directory_label(self) -> bytes:
        for _at, entry in self._entries(self._root):
            if entry[11] & 0x18 == _VOLUME_LABEL and entry[11] != _LONG_NAME and entry[0] != 0xE5:
                return entry[:11]
        return b""

    # --- clusters ---

    def _chain(self, cluster: int) -> Iterator[tuple[int, int]]:
        """Yield runs of clusters as (first cluster, number)."""
        following, left = self._next, self._clusters
        start = cluster
        count = 1
        if not cluster:
            return
        while True:
            if not 2 <= cluster < min(self._clusters + 2, len(following)):
                raise DamagedError(f"cluster {cluster} does not exist")
            left -= 1
            if left < 0:
                raise DamagedError("its clusters go round in a circle")
            after = int(following[cluster])
            if after == cluster + 1:
                count += 1
            else:
                yield start, count
                if after >= (0x0FFFFFF7 if self._bits == 32 else (1 << self._bits) - 9):
                    return
                start, count = after, 1
            cluster = after

    def _at(self, cluster: int) -> int:
        return int(self._data_at + (cluster - 2) * self._cluster)

    def _pieces(self, place: _Place, size: int) -> Iterator[bytes | Hole]:
        left = size
        for first, count in self._chain(place.cluster):
            if left <= 0:
                return
            length = min(left, count * self._cluster)
            yield from self._window.pieces(self._at(first), length)
            left -= length
        if left > 0:
            raise DamagedError("a file is longer than its clusters")

    # --- directories ---

    @property
    def _root(self) -> _Place:
        return _Place(0, self._root_cluster, 0, _DIRECTORY, 0)

    def _facts(self, place: Any) -> Facts:
        entry: _Place = place
        if entry.attributes & _DIRECTORY:
            mode, size = stat.S_IFDIR | 0o755, 0
            clusters = sum(count for _first, count in self._chain(entry.cluster))
            links = 2
            allocated = clusters * self._cluster if entry.cluster else self._root_size
        else:
            mode = stat.S_IFREG | (0o555 if entry.attributes & _READ_ONLY else 0o755)
            size, links = entry.size, 1
            allocated = -(-size // self._cluster) * self._cluster
        return Facts(mode, 0, 0, links, size, allocated, entry.at // 32 + 1, entry.mtime)

    def _entries(self, directory: _Place) -> Iterator[tuple[int, bytes]]:
        """Yield the entries of a directory, each with its byte offset in the file system."""
        stretches = (
            [
                (self._at(first), count * self._cluster)
                for first, count in self._chain(directory.cluster)
            ]
            if directory.cluster
            else [(self._root_at, self._root_size)]
        )
        left = _MOST_IN_DIRECTORY
        for at, length in stretches:
            left -= length
            if left < -self._cluster:
                raise DamagedError("a directory is too large")
            data = self._window.read(at, length)
            for start in range(0, length, 32):
                if not data[start]:
                    return
                yield at + start, data[start : start + 32]

    def _names(self, place: Any) -> Iterator[tuple[bytes, Hashable]]:
        long: dict[int, bytes] = {}
        checksum = -1
        for at, entry in self._entries(place):
            if entry[0] == 0xE5:
                long.clear()
                continue
            if entry[11] & 0x3F == _LONG_NAME:
                if entry[0] & 0x40 or entry[13] != checksum:
                    long.clear()
                    checksum = entry[13]
                long[entry[0] & 0x3F] = entry[1:11] + entry[14:26] + entry[28:32]
                continue
            short, attributes, flags, _tenths, *times = _ENTRY.unpack(entry)
            name = _long_name(long) if long and checksum == _checksum(short) else b""
            long.clear()
            if attributes & _VOLUME_LABEL or short[:2] in (b". ", b".."):
                continue
            _ct, _cd, _ad, high, time, day, low, size = times
            cluster = low | (high << 16 if self._bits == 32 else 0)
            yield (
                name or _short_name(short, flags),
                _Place(at, cluster, size, attributes, _seconds(day, time)),
            )

    def close(self) -> None:
        """Close the file."""
        self._window.close()


def _long_name(parts: dict[int, bytes]) -> bytes:
    if sorted(parts) != list(range(1, len(parts) + 1)):
        return b""
    units = b"".join(parts[number] for number in sorted(parts))
    text = units.decode("utf-16-le", "surrogatepass").split("\0")[0].rstrip("\uffff")
    return text.encode("utf-8", "surrogatepass")


def _checksum(short: bytes) -> int:
    total = 0
    for byte in short:
        total = ((total & 1) << 7 | total >> 1) + byte & 0xFF
    return total


def _short_name(short: bytes, flags: int) -> bytes:
    base, extension = short[:8], short[8:]
    if base[0] == 0x05:
        base = b"\xe5" + base[1:]
    first = base.decode("cp437").rstrip(" ")
    last = extension.decode("cp437").rstrip(" ")
    first = first.lower() if flags & _LOWER_BASE else first
    last = last.lower() if flags & _LOWER_EXTENSION else last
    return (f"{first}.{last}" if last else first).encode()


def _seconds(day: int, time: int) -> int:
    year, month, date = 1980 + (day >> 9), day >> 5 & 15, day & 31
    if not 1 <= month <= 12 or not date:
        return 0
    return calendar.timegm((year, month, date, time >> 11, time >> 5 & 63, (time & 31) * 2))
