"""Decompress a block of data in bounded memory."""

from __future__ import annotations

import bz2
import lzma
import zlib

import lz4.block
import zstandard

from kiwinb.inspect.formats import lzo
from kiwinb.inspect.formats.window import DamagedError, UnsupportedError

_MEMORY = 256 << 20


def block(method: str, data: bytes, most: int) -> bytes:
    """Decompress a block.

    Args:
        method: ``zlib``, ``deflate`` (without header), ``xz``, ``lzma``, ``zstd``, ``lz4``,
            ``lzo`` or ``bz2``.
        data: The whole block; it may be followed by other data.
        most: Largest size of the result in bytes.

    Raises:
        DamagedError: The result is too large. Libraries raise other errors for damaged data.
        UnsupportedError: The method is not supported.
    """
    if method in ("zlib", "deflate"):
        inflater = zlib.decompressobj(15 if method == "zlib" else -15)
        found = inflater.decompress(data, most)
    elif method in ("xz", "lzma"):
        found = lzma.LZMADecompressor(memlimit=_MEMORY).decompress(data, most)
    elif method == "zstd":
        with zstandard.ZstdDecompressor(max_window_size=_MEMORY).stream_reader(data) as reader:
            found = reader.read(most + 1)
    elif method == "lz4":
        found = lz4.block.decompress(data, uncompressed_size=most)
    elif method == "lzo":
        found = lzo.decompress(data, most)
    elif method == "bz2":
        found = bz2.BZ2Decompressor().decompress(data, most)
    else:
        raise UnsupportedError(
            f"it is compressed with {method}, which is not supported here",
            "Make it with zstd, xz, gzip or lz4, or unpack it with the tools of its format.",
        )
    if len(found) > most:
        raise DamagedError("a block is larger than it may be")
    return bytes(found)
