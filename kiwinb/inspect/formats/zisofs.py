"""Decompress files that zisofs compressed, which ISO 9660 images can hold.

Sources of the format: the descriptions of zisofs and of zisofs2 in libisofs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from kiwinb.inspect.formats import decompress
from kiwinb.inspect.formats.window import DamagedError, UnsupportedError, Window
from kiwinb.inspect.tree import Hole

TAGS = (b"ZF", b"Z2")
"""Names of the system use entries of compressed files."""

_MAGICS = (b"\x37\xe4\x53\x96\xc9\xdb\xd6\x07", b"\xef\x22\x55\xa1\xbc\x1b\x95\xa0")
_METHODS = {b"pz": "zlib", b"PZ": "zlib"}
_LARGEST = 20  # a block of 1 MiB


class Packed(NamedTuple):
    """How a file is compressed.

    Attributes:
        method: Name of the method in the format.
        version: 1 or 2.
        step: Binary logarithm of the block size in bytes.
        size: Size of the content in bytes.
    """

    method: bytes
    version: int
    step: int
    size: int


def packed(tag: bytes, data: bytes) -> Packed:
    """Read a system use entry.

    Args:
        tag: One of :data:`TAGS`.
        data: The entry without its first 4 bytes.
    """
    method, step = data[:2], data[3]
    if tag == b"Z2" or method != b"pz":
        return Packed(method, 2, step, struct.unpack_from("<Q", data, 4)[0])
    return Packed(method, 1, step, struct.unpack_from("<I", data, 4)[0])


def pieces(stored: Window, how: Packed, size: int) -> Iterator[bytes | Hole]:
    """Yield the content of a compressed file from its start.

    Args:
        stored: The compressed file.
        how: How it is compressed.
        size: Number of bytes that are wanted; the last piece may go beyond them.

    Raises:
        DamagedError: The file is damaged.
        UnsupportedError: It is compressed in a way that is unknown.
    """
    head = stored.peek(0, 24)
    method = _METHODS.get(how.method)
    known = 15 <= how.step <= _LARGEST and head.startswith(_MAGICS[how.version - 1])
    if method is None or not known or (how.version == 2 and head[8]):
        raise UnsupportedError(
            f"a file is compressed in an unknown way ({how.method!r})",
            "Copy the file out of the image: xorriso -indev IMAGE -osirrox on -extract PATH FILE",
        )
    start, width, form = (head[12] * 4, 4, "I") if how.version == 1 else (head[9] * 4, 8, "Q")
    step = 1 << how.step
    count = -(-how.size // step)
    if count > stored.size // width:
        raise DamagedError("a compressed file has impossible blocks")
    pointers = struct.unpack(f"<{count + 1}{form}", stored.read(start, width * (count + 1)))
    for index in range(min(count, -(-size // step))):
        wanted = min(step, how.size - index * step)
        first, last = pointers[index], pointers[index + 1]
        if first == last:
            yield Hole(wanted)
            continue
        if not first < last <= stored.size:
            raise DamagedError("a compressed file has impossible blocks")
        found = decompress.block(method, stored.read(first, last - first), wanted)
        if len(found) != wanted:
            raise DamagedError("a compressed file has a block of another size")
        yield found
