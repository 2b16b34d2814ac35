"""Read partition tables, GPT and MBR, from a disk.

An MBR may have a chain of logical partitions. Source of the format of GPT: the UEFI specification,
chapter "GUID Partition Table Disk Layout".
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from kiwinb.inspect.formats.window import DamagedError, Window

_MOST_LOGICAL = 128
_EXTENDED = (0x05, 0x0F, 0x85)
_PROTECTIVE = 0xEE

TYPES = {
    "c12a7328-f81f-11d2-ba4b-00a0c93ec93b": "esp",
    "21686148-6449-6e6f-744e-656564454649": "bios boot",
    "9e1a2d38-c612-4316-aa26-8b49521e5a8b": "prep",
    "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "swap",
    "0fc63daf-8483-4772-8e79-3d69d8477de4": "linux",
    "44479540-f297-41b2-9af7-d131d5f0458a": "root",
    "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "root",
    "69dad710-2ce4-4e3c-b16c-21a1d49abed3": "root",
    "b921b045-1df0-41c3-af44-4c6f280d3fae": "root",
    "933ac7e1-2eb4-4f13-b844-0e14e2aef915": "home",
    "3b8f8425-20e0-4f3b-907f-1a25a76f98e8": "srv",
    "4d21b016-b534-45c2-a9fb-5c16e091fd2d": "var",
    "bc13c2ff-59e6-4262-a352-b275fd6f7172": "boot",
    "e6d6d379-f507-44c2-a23c-238f2a3df928": "lvm",
    "a19d880f-05fc-4d3b-a006-743f0f84911e": "raid",
    "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "data",
    "0x01": "data",
    "0x04": "data",
    "0x06": "data",
    "0x07": "data",
    "0x0b": "data",
    "0x0c": "data",
    "0x0e": "data",
    "0x41": "prep",
    "0x82": "swap",
    "0x83": "linux",
    "0x8e": "lvm",
    "0xef": "esp",
    "0xfd": "raid",
}
"""Purposes of partitions, by partition type."""


@dataclass(frozen=True)
class Partition:
    """A partition, or another part of a disk.

    Attributes:
        number: Number that the kernel uses; 0 if it is not a partition.
        start: Offset of the first byte.
        size: Size in bytes.
        type: GUID, or a byte such as ``0x83``.
        name: Name in the table; MBR has no names.
        uuid: PARTUUID, as ``blkid`` prints it.
    """

    number: int
    start: int
    size: int
    type: str
    name: str = ""
    uuid: str = ""

    @property
    def role(self) -> str:
        """Purpose according to its type, or else the type itself."""
        return TYPES.get(self.type, self.type)


@dataclass(frozen=True)
class PartitionTable:
    """The partitions of a disk.

    Attributes:
        kind: Type of the table.
        partitions: The partitions, in the order of the table.
        taken: Parts of the disk that the table itself takes: offset and size in bytes.
    """

    kind: Literal["gpt", "dos"]
    partitions: tuple[Partition, ...]
    taken: tuple[tuple[int, int], ...]


def probe(window: Window) -> bool:
    """Tell whether there is a partition table."""
    return _gpt_sector(window) is not None or bool(_primary(window))


def read(window: Window) -> PartitionTable:
    """Read the partition table of a disk.

    Raises:
        DamagedError: The table is damaged.
    """
    sector = _gpt_sector(window)
    if sector is not None:
        return _read_gpt(window, sector)
    return _read_dos(window)


def _gpt_sector(window: Window) -> int | None:
    """Return the sector size of a disk with a GPT, in bytes; ``None`` if it has no GPT."""
    for sector in (512, 4096):
        if window.peek(sector, 8) == b"EFI PART":
            return sector
    boot = window.peek(0, 512)
    if boot[510:] == b"\x55\xaa" and any(entry[4] == _PROTECTIVE for entry in _entries(boot)):
        for sector in (512, 4096):  # the first copy is damaged, and the last sector has another one
            if window.peek(window.size - sector, 8) == b"EFI PART":
                return sector
    return None


def _read_gpt(window: Window, sector: int) -> PartitionTable:
    last = window.size // sector - 1
    try:
        header, entries = _gpt_copy(window, sector, 1)
    except (DamagedError, struct.error):
        header, entries = _gpt_copy(window, sector, last)
    count, width = header[0], header[1]
    table = -(-count * width // sector) * sector
    partitions = []
    for index in range(count):
        entry = entries[index * width : (index + 1) * width]
        kind, own, first, end, _flags = struct.unpack_from("<16s16sQQQ", entry)
        if kind == bytes(16):
            continue
        if end < first or first > last:
            raise DamagedError(f"partition {index + 1} ends before it starts")
        name = entry[56:128].decode("utf-16-le", "replace").split("\0")[0]
        partitions.append(
            Partition(
                index + 1,
                first * sector,
                (end - first + 1) * sector,
                str(uuid.UUID(bytes_le=kind)),
                name,
                str(uuid.UUID(bytes_le=own)),
            )
        )
    taken = [(0, 2 * sector), (header[2] * sector, table)]
    if window.peek(header[3] * sector, 8) == b"EFI PART":
        taken.append((header[3] * sector, sector))
        backup = window.peek(header[3] * sector + 72, 8)
        taken.append((int.from_bytes(backup, "little") * sector, table))
    return PartitionTable("gpt", tuple(partitions), tuple(taken))


def _gpt_copy(window: Window, sector: int, at: int) -> tuple[tuple[int, int, int, int], bytes]:
    """Read and check a header and its entries.

    Returns:
        The number of entries, the size of an entry in bytes, the sector of the first entry and the
        sector of the other header; and the bytes of the entries.
    """
    header = window.read(at * sector, 512)
    (magic, _revision, size, checksum) = struct.unpack_from("<8sIII", header)
    if magic != b"EFI PART" or not 92 <= size <= 512:
        raise DamagedError("the header of its GPT is invalid")
    if zlib.crc32(header[:16] + bytes(4) + header[20:size]) != checksum:
        raise DamagedError("the checksum of the header of its GPT is wrong")
    _here, other = struct.unpack_from("<QQ", header, 24)
    first, count, width, checksum = struct.unpack_from("<QIII", header, 72)
    if width < 128 or width > 4096 or count > 16384:
        raise DamagedError("the entries of its GPT have impossible sizes")
    entries = window.read(first * sector, count * width)
    if zlib.crc32(entries) != checksum:
        raise DamagedError("the checksum of the entries of its GPT is wrong")
    return (count, width, first, other if at == 1 else 1), entries


def _entries(boot: bytes) -> list[bytes]:
    return [boot[446 + 16 * index : 462 + 16 * index] for index in range(4)]


def _primary(window: Window) -> list[tuple[int, int, int, int]]:
    """Return number, type, start and size in sectors of entries in a plausible MBR."""
    boot = window.peek(0, 512)
    if len(boot) < 512 or boot[510:] != b"\x55\xaa":
        return []
    found = []
    for index, entry in enumerate(_entries(boot)):
        active, kind, start, count = struct.unpack("<B3xB3xII", entry)
        if active not in (0, 0x80):
            return []
        if kind and count:
            if not start or start * 512 >= window.size:
                return []
            found.append((index + 1, kind, start, count))
    return found


def _read_dos(window: Window) -> PartitionTable:
    (disk,) = struct.unpack("<I", window.read(440, 4))
    partitions, taken = [], [(0, 512)]
    for number, kind, start, count in _primary(window):
        if kind in _EXTENDED:
            for logical, at in _logical(window, start, disk):
                partitions.append(logical)
                taken.append((at, 512))
        else:
            partitions.append(_dos_partition(number, kind, start, count, disk))
    return PartitionTable("dos", tuple(partitions), tuple(taken))


def _dos_partition(number: int, kind: int, start: int, count: int, disk: int) -> Partition:
    own = f"{disk:08x}-{number:02x}"
    return Partition(number, start * 512, count * 512, f"0x{kind:02x}", "", own)


def _logical(window: Window, first: int, disk: int) -> Iterator[tuple[Partition, int]]:
    """Yield the logical partitions, each with the offset of the sector that describes it."""
    at, number, seen = first, 5, set[int]()
    while at not in seen and number < 5 + _MOST_LOGICAL:
        seen.add(at)
        record = window.read(at * 512, 512)
        if record[510:] != b"\x55\xaa":
            return
        one, following = _entries(record)[:2]
        _, kind, start, count = struct.unpack("<B3xB3xII", one)
        if kind and count:
            yield _dos_partition(number, kind, at + start, count, disk), at * 512
            number += 1
        _, kind, start, count = struct.unpack("<B3xB3xII", following)
        if kind not in _EXTENDED or not start:
            return
        at = first + start
    raise DamagedError("its logical partitions go round in a circle")
