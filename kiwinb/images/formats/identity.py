"""Identifiers of virtual disks that follow from the build, so that equal builds give equal bytes.

qemu-img gives every disk that it makes random identifiers, and a VHD the current time. The
functions here replace them in place; where they are is in the published descriptions of the
formats.
"""

from __future__ import annotations

import os
import re
import struct
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from kiwinb.errors import ImageError
from kiwinb.storage.filesystem.libext2fs import crc32c

_NAMESPACE = uuid.UUID("5f1c4b0e-63f2-4d0b-8a35-0f3f0d1f0a9d")

_VDI_SIGNATURE = (64, struct.pack("<I", 0xBEDA107F))
_VDI_IDENTIFIERS = ((0x188, "image"), (0x198, "snapshot"))

_VHD_COOKIE = b"conectix"
_VHD_FOOTER = 512
_VHD_TIME, _VHD_CHECKSUM, _VHD_IDENTIFIER = 24, 64, 68

_VHDX_HEADERS = (64 << 10, 128 << 10)
_VHDX_HEADER_SIZE = 4096
_VHDX_REGIONS = 192 << 10
_VHDX_METADATA = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
_VHDX_DISK = uuid.UUID("beca12ab-b2e6-4523-93ef-c309e000c746")

_VMDK_SPARSE = b"KDMV"
_VMDK_CONTENT = re.compile(rb"^CID=[0-9a-f]{1,8}$", re.MULTILINE)


def settle(disk: Path, driver: str) -> None:
    """Give a virtual disk identifiers that follow from the name of its file, and no time.

    Args:
        disk: The file that qemu-img has written.
        driver: What qemu-img calls the format; those that have no identifiers are left as they are.

    Raises:
        ImageError: The file is not of that format.
    """
    change = _CHANGES.get(driver)
    if change is None:
        return
    with disk.open("r+b") as file:
        if not change(file, disk.name):
            raise ImageError(f"{disk.name}: qemu-img made a disk whose headers are not understood")


def _identifier(name: str, role: str) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, f"{name}\n{role}")


def _read(file: BinaryIO, offset: int, size: int) -> bytearray:
    file.seek(offset)
    return bytearray(file.read(size))


def _write(file: BinaryIO, offset: int, data: bytes | bytearray) -> None:
    file.seek(offset)
    file.write(data)


def _settle_vdi(file: BinaryIO, name: str) -> bool:
    offset, signature = _VDI_SIGNATURE
    if _read(file, offset, len(signature)) != signature:
        return False
    for place, role in _VDI_IDENTIFIERS:
        _write(file, place, _identifier(name, role).bytes_le)
    return True


def _settle_vhd(file: BinaryIO, name: str) -> bool:
    """A dynamic disk has a copy of its footer at its start."""
    end = file.seek(0, os.SEEK_END) - _VHD_FOOTER
    places = [place for place in (0, end) if _read(file, place, 8) == _VHD_COOKIE]
    for place in places:
        footer = _read(file, place, _VHD_FOOTER)
        struct.pack_into(">I", footer, _VHD_TIME, 0)
        footer[_VHD_IDENTIFIER : _VHD_IDENTIFIER + 16] = _identifier(name, "image").bytes
        struct.pack_into(">I", footer, _VHD_CHECKSUM, 0)
        struct.pack_into(">I", footer, _VHD_CHECKSUM, ~sum(footer) & 0xFFFFFFFF)
        _write(file, place, footer)
    return end in places


def _settle_vhdx(file: BinaryIO, name: str) -> bool:
    """Both headers, of which the one with the higher number counts, and the empty log."""
    headers = {place: _read(file, place, _VHDX_HEADER_SIZE) for place in _VHDX_HEADERS}
    disk = _find_vhdx_disk(file)
    if disk is None or any(not header.startswith(b"head") for header in headers.values()):
        return False
    if any(any(header[48:64]) for header in headers.values()):
        return False  # the log is not empty
    by_age = sorted(headers, key=lambda place: struct.unpack_from("<Q", headers[place], 8))
    for number, place in enumerate(by_age, 1):
        header = headers[place]
        struct.pack_into("<Q", header, 8, number)
        header[16:32] = _identifier(name, "file").bytes_le
        header[32:48] = _identifier(name, "data").bytes_le
        header[4:8] = bytes(4)
        struct.pack_into("<I", header, 4, crc32c(header) ^ 0xFFFFFFFF)
        _write(file, place, header)
    size, offset = struct.unpack_from("<IQ", headers[by_age[-1]], 68)
    for start in range(offset, offset + size, 1 << 20):
        piece = min(1 << 20, offset + size - start)
        if any(_read(file, start, piece)):  # what is a hole stays one
            _write(file, start, bytes(piece))
    _write(file, disk, _identifier(name, "disk").bytes_le)
    return True


def _find_vhdx_disk(file: BinaryIO) -> int | None:
    """Where a VHDX has the identifier of the disk."""
    regions = _read(file, _VHDX_REGIONS, 64 << 10)
    start = _find_entry(regions, b"regi", 8, "<I", 16, _VHDX_METADATA)
    if start is None:
        return None
    (place,) = struct.unpack_from("<Q", regions, start + 16)
    table = _read(file, place, 64 << 10)
    entry = _find_entry(table, b"metadata", 10, "<H", 32, _VHDX_DISK)
    if entry is None:
        return None
    (offset,) = struct.unpack_from("<I", table, entry + 16)
    return int(place + offset)


def _find_entry(
    table: bytearray, signature: bytes, count: int, kind: str, first: int, wanted: uuid.UUID
) -> int | None:
    """Where a table of a VHDX has the entry of a UUID.

    Args:
        table: The table.
        signature: What it starts with.
        count: Where the number of its entries is.
        kind: That number's type, for :mod:`struct`.
        first: Where the first entry is; each has 32 bytes.
        wanted: The UUID.
    """
    if not table.startswith(signature):
        return None
    (entries,) = struct.unpack_from(kind, table, count)
    places = range(first, min(first + 32 * entries, len(table) - 31), 32)
    return next((p for p in places if table[p : p + 16] == wanted.bytes_le), None)


def _settle_vmdk(file: BinaryIO, name: str) -> bool:
    """The descriptor is a text, in the file of a sparse disk or a file of its own."""
    header = _read(file, 0, 512)
    start, size = 0, file.seek(0, os.SEEK_END)
    if header.startswith(_VMDK_SPARSE):
        start, size = (sectors * 512 for sectors in struct.unpack_from("<QQ", header, 28))
    text = bytes(_read(file, start, size)).partition(b"\0")[0]  # the rest may be of a longer text
    content = b"CID=%08x" % (_identifier(name, "content").int >> 96)
    settled, count = _VMDK_CONTENT.subn(content, text)
    if count != 1 or (start and len(settled) > size):
        return False
    _write(file, start, settled.ljust(size, b"\0"))
    return True


_CHANGES: Mapping[str, Callable[[BinaryIO, str], bool]] = {
    "vdi": _settle_vdi,
    "vhdx": _settle_vhdx,
    "vmdk": _settle_vmdk,
    "vpc": _settle_vhd,
}
