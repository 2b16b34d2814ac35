"""Read ISO 9660 images with Rock Ridge, Joliet or plain names.

Without Rock Ridge, images have no owners, modes or links. In this case, owners and modes are the
same as in a Linux mount: user and group 0, mode 0555 for directories and 0444 for files.

Sources of the format: ECMA-119, the System Use Sharing Protocol (IEEE P1281) and the Rock Ridge
Interchange Protocol (IEEE P1282).
"""

from __future__ import annotations

import calendar
import stat
import struct
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from kiwinb.inspect.formats import zisofs
from kiwinb.inspect.formats.indexed import Facts, InodeTree, Volume
from kiwinb.inspect.formats.window import DamagedError, UnsupportedError, Window
from kiwinb.inspect.tree import Hole

_SECTOR = 2048
_FIRST = 16 * _SECTOR
_DIRECTORY, _MORE = 0x02, 0x80
_JOLIET = (b"%/@", b"%/C", b"%/E")
_MOST_CONTINUED = 64


@dataclass(frozen=True)
class _Record:
    """An entry of a directory.

    Attributes:
        at: Byte offset in the image, which identifies the entry.
        name: The name.
        runs: Offsets and sizes of its content, in bytes.
        facts: The metadata.
        packed: How zisofs compressed the file, if it did.
    """

    at: int
    name: bytes
    runs: tuple[tuple[int, int], ...] = field(compare=False)
    facts: Facts = field(compare=False)
    packed: zisofs.Packed | None = field(compare=False, default=None)


class IsoTree(InodeTree):
    """An ISO 9660 image."""

    what = "an ISO 9660 image"

    def __init__(self, window: Window, name: str) -> None:
        super().__init__(name)
        self._window = window
        primary, joliet = self._descriptors()
        self._primary = primary
        (self._block,) = struct.unpack_from("<H", primary, 128)
        if self._block not in (512, 1024, 2048):
            raise DamagedError(f"blocks of {self._block} bytes")
        self._skip = 0
        self._joliet = False
        top = primary[156:190]
        own = self._window.read(self._place(top), 34)
        length = self._window.read(self._place(top), 1)[0]
        first = self._window.read(self._place(top), max(length, 34))
        sharing = first[34:]
        if sharing[:2] == b"SP" and len(sharing) >= 7:
            self._skip = sharing[6]
        extra = self._extra(sharing, 0) if sharing[:2] == b"SP" else []
        self._rock_ridge = any(tag in (b"PX", b"RR", b"ER", b"NM") for tag, _ in extra)
        if not self._rock_ridge and joliet:
            self._joliet, top = True, joliet[156:190]
            own = self._window.read(self._place(top), 34)
        self._top = self._record(own, self._place(top), extra, b"")
        self._identity = {self._top: self._top}

    @staticmethod
    def probe(window: Window) -> bool:
        """Tell whether the content looks like this format."""
        return window.peek(_FIRST + 1, 5) == b"CD001"

    def _descriptors(self) -> tuple[bytes, bytes]:
        """Return the primary volume descriptor, and that of Joliet or an empty one."""
        primary = joliet = b""
        for index in range(64):
            found = self._window.read(_FIRST + index * _SECTOR, _SECTOR)
            if found[1:6] != b"CD001" or found[0] == 255:
                break
            if found[0] == 1 and not primary:
                primary = found
            elif found[0] == 2 and found[88:91] in _JOLIET:
                joliet = found
        if not primary:
            raise DamagedError("it has no primary volume descriptor")
        return primary, joliet

    @property
    def volume(self) -> Volume:
        """The file system as a whole."""
        label = self._primary[40:72].decode("ascii", "replace").rstrip(" \0")
        (blocks,) = struct.unpack_from("<I", self._primary, 80)
        made = self._primary[830:846] if self._primary[830:831].strip(b"0\0") else b""
        made = made or self._primary[813:829]
        day = made.decode("ascii", "replace")
        parts = (day[:4], day[4:6], day[6:8], day[8:10], day[10:12], day[12:14], day[14:16])
        size = blocks * self._block
        return Volume("iso9660", label, "-".join(parts) if day.isdigit() else "", size, size)

    # --- records ---

    def _place(self, record: bytes) -> int:
        (block,) = struct.unpack_from("<I", record, 2)
        return int((block + record[1]) * self._block)

    def _record(
        self, raw: bytes, at: int, extra: Sequence[tuple[bytes, bytes]], name: bytes
    ) -> _Record:
        (size,) = struct.unpack_from("<I", raw, 10)
        directory = bool(raw[25] & _DIRECTORY)
        mode = stat.S_IFDIR | 0o555 if directory else stat.S_IFREG | 0o444
        uid = gid = 0
        links = 2 if directory else 1
        inode, mtime = at, _short_time(raw[18:25])
        target: list[bytes] = []
        packed = None
        start = self._place(raw)
        for tag, data in extra:
            if tag == b"PX":
                mode, links, uid, gid = struct.unpack("<I4xI4xI4xI4x", data[:32])
                if len(data) >= 40:
                    (inode,) = struct.unpack_from("<I", data, 32)
            elif tag == b"TF":
                mtime = _stamp(data, mtime)
            elif tag == b"SL":
                target.append(data)
            elif tag == b"CL":  # a directory that was too deep and is stored elsewhere
                (block,) = struct.unpack_from("<I", data)
                return self._moved(block * self._block, at, name)
            elif tag in zisofs.TAGS:
                packed = zisofs.packed(tag, data)
        allocated = -(-size // self._block) * self._block
        if stat.S_ISLNK(mode) or not (stat.S_ISREG(mode) or directory):
            allocated = 0
        facts = Facts(
            mode,
            uid,
            gid,
            links,
            packed.size if packed else size,
            allocated,
            inode,
            mtime,
            _link(target),
        )
        return _Record(start if directory else at, name, ((start, size),), facts, packed)

    def _moved(self, place: int, at: int, name: bytes) -> _Record:
        length = self._window.read(place, 1)[0]
        raw = self._window.read(place, length)
        return self._record(raw, place, self._extra(raw[34 + self._skip :], 0), name)

    def _extra(self, area: bytes, continued: int) -> list[tuple[bytes, bytes]]:
        """Read system use entries, including those in continuation areas."""
        found: list[tuple[bytes, bytes]] = []
        following: tuple[int, int] | None = None
        at = 0
        while at + 4 <= len(area):
            tag, length = area[at : at + 2], area[at + 2]
            if length < 4 or tag == b"ST":
                break
            data = area[at + 4 : at + length]
            if tag == b"CE":
                block, offset, size = struct.unpack("<I4xI4xI4x", data[:24])
                following = block * self._block + offset, size
            else:
                found.append((tag, data))
            at += length
        if following:
            if continued >= _MOST_CONTINUED:
                raise DamagedError("its continuation areas go round in a circle")
            found += self._extra(self._window.read(*following), continued + 1)
        return found

    # --- directories ---

    @property
    def _root(self) -> Hashable:
        return self._top

    def _facts(self, place: Any) -> Facts:
        record: _Record = place
        return record.facts

    def _names(self, place: Any) -> Iterator[tuple[bytes, Hashable]]:
        directory: _Record = place
        start, size = directory.runs[0]
        if size > self._window.size:
            raise DamagedError("a directory is larger than the image")
        data = self._window.read(start, size)
        parts: list[tuple[int, int]] = []
        at = 0
        while at < size:
            length = data[at]
            if not length:  # records do not cross sectors
                at = at // _SECTOR * _SECTOR + _SECTOR
                continue
            raw = data[at : at + length]
            if len(raw) < 34 or 33 + raw[32] > length:
                raise DamagedError("an entry of a directory is invalid")
            here, at = start + at, at + length
            identifier = raw[33 : 33 + raw[32]]
            if identifier in (b"\0", b"\1"):
                continue
            area = raw[33 + raw[32] + (1 - raw[32] % 2) + self._skip :]
            extra = self._extra(area, 0) if self._rock_ridge else []
            if any(tag == b"RE" for tag, _ in extra):
                continue
            parts.append((self._place(raw), struct.unpack_from("<I", raw, 10)[0]))
            if raw[25] & _MORE:
                continue
            name = self._name(identifier, extra)
            record = self._record(raw, here, extra, name)
            if len(parts) > 1:
                whole = sum(length for _, length in parts)
                facts = record.facts._replace(allocated=-(-whole // 2048) * 2048)
                if not record.packed:
                    facts = facts._replace(size=whole)
                record = _Record(record.at, name, tuple(parts), facts, record.packed)
            parts = []
            if name:
                yield name, record

    def _name(self, identifier: bytes, extra: Sequence[tuple[bytes, bytes]]) -> bytes:
        if self._rock_ridge:
            pieces = [data[1:] for tag, data in extra if tag == b"NM" and not data[0] & 6]
            if pieces:
                return b"".join(pieces)
        if self._joliet:
            text = identifier.decode("utf-16-be", "replace")
            return text.split(";")[0].encode("utf-8", "surrogatepass")
        return identifier.split(b";")[0].rstrip(b".").lower()

    # --- contents ---

    def _pieces(self, place: Any, size: int) -> Iterator[bytes | Hole]:
        record: _Record = place
        if record.packed:
            stored = self._window.part(record.runs[0][0], sum(part[1] for part in record.runs))
            if any(one[0] + one[1] != other[0] for one, other in pairwise(record.runs)):
                raise UnsupportedError("a compressed file is in several places", "Mount the image.")
            yield from zisofs.pieces(stored, record.packed, size)
            return
        for start, length in record.runs:
            yield from self._window.pieces(start, length)

    def close(self) -> None:
        """Close the file."""
        self._window.close()


def _short_time(stamp: bytes) -> int:
    year, month, day, hour, minute, second = stamp[:6]
    zone = int.from_bytes(stamp[6:7], "little", signed=True)
    if not 1 <= month <= 12 or not day:
        return 0
    return int(calendar.timegm((1900 + year, month, day, hour, minute, second))) - zone * 900


def _stamp(data: bytes, otherwise: int) -> int:
    """Read the modification time from an entry ``TF``."""
    flags, at = data[0], 1
    width = 17 if flags & 0x80 else 7
    if not flags & 2:
        return otherwise
    if flags & 1:
        at += width
    stamp = data[at : at + width]
    if width == 7:
        return _short_time(stamp)
    digits = stamp[:14].decode("ascii")
    cuts = (digits[:4], digits[4:6], digits[6:8], digits[8:10], digits[10:12], digits[12:14])
    zone = int.from_bytes(stamp[16:17], "little", signed=True)
    return int(calendar.timegm(tuple(map(int, cuts)))) - zone * 900


def _link(entries: Sequence[bytes]) -> bytes:
    """Assemble the target of a symbolic link from its entries ``SL``."""
    parts: list[bytes] = []
    goes_on = False
    absolute = False
    for data in entries:
        at = 1
        while at + 2 <= len(data):
            flags, length = data[at], data[at + 1]
            text = data[at + 2 : at + 2 + length]
            at += 2 + length
            if flags & 8:
                absolute, parts = True, []
                continue
            text = b"." if flags & 2 else b".." if flags & 4 else text
            if goes_on and parts:
                parts[-1] += text
            else:
                parts.append(text)
            goes_on = bool(flags & 1)
    return (b"/" if absolute else b"") + b"/".join(parts)
