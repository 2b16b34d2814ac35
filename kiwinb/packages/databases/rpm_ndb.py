"""Read ``Packages.db``, the database of rpm that its manual calls ``ndb``.

It begins with pages of slots, each of which says where the header of a package is. Numbers are
little endian, and places are counted in blocks of 16 bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from kiwinb.packages.databases.bounds import damaged

_PAGE, _BLOCK = 4096, 16
_START = struct.Struct("<4sIIII12x")
_SLOT = struct.Struct("<4sIII")
_HEAD = struct.Struct("<4sIII")
_TAIL = struct.Struct("<II4s")


def blobs(data: bytes, where: str) -> Iterator[bytes]:
    """Yield the headers of all packages.

    Args:
        data: The file.
        where: Its path, for errors.

    Raises:
        InspectError: The database is damaged.
    """
    if len(data) < _START.size:
        raise damaged(where, "the file is cut off")
    magic, version, _generation, pages, _next = _START.unpack_from(data)
    if magic != b"RpmP" or version != 0:
        raise damaged(where, "it is no database of rpm")
    if pages * _PAGE > len(data):
        raise damaged(where, "the file is cut off")
    used = 0
    for at in range(_START.size, pages * _PAGE, _SLOT.size):
        slot, number, start, count = _SLOT.unpack_from(data, at)
        if slot != b"Slot":
            raise damaged(where, f"there is no slot at {at}")
        if not start:
            continue
        used += count * _BLOCK
        if used > len(data):
            raise damaged(where, "packages overlap")
        yield _blob(data[start * _BLOCK : (start + count) * _BLOCK], number, where)


def _blob(piece: bytes, number: int, where: str) -> bytes:
    problem = damaged(where, f"the header of package {number} is damaged")
    if len(piece) < _HEAD.size + _TAIL.size:
        raise problem
    magic, same, _generation, size = _HEAD.unpack_from(piece)
    checksum, again, end = _TAIL.unpack_from(piece, len(piece) - _TAIL.size)
    if (magic, same, again, end) != (b"BlbS", number, size, b"BlbE"):
        raise problem
    padding = len(piece) - _HEAD.size - size - _TAIL.size
    if not 0 <= padding < _BLOCK or zlib.adler32(piece[: -_TAIL.size]) != checksum:
        raise problem
    return piece[_HEAD.size : _HEAD.size + size]
