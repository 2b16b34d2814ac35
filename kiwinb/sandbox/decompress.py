"""Read compressed files as streams, up to the checksum at their end."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from kiwinb.errors import CommandError
from kiwinb.sandbox.streams import reading_through

BROKEN_STREAM = (EOFError, OSError, lzma.LZMAError, zlib.error, CommandError)
"""What reading a damaged compressed stream raises."""

_MAGIC: Mapping[bytes, str] = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x5d\0\0": "lzma",
}
_TAR = slice(257, 262)


def compression_of(path: Path) -> str:
    """Return the name of a file's compression, by its first bytes; empty if there is none."""
    with path.open("rb") as file:
        head = file.read(_TAR.stop)
    if head[_TAR] == b"ustar":  # its first name may be like a magic number
        return ""
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")


@contextmanager
def open_unpacked(path: Path) -> Iterator[BinaryIO]:
    """Read a file, decompressing it if its first bytes show that it is compressed.

    Damage may show only at the end of the stream: whoever has read all wants of it reads on until
    there is nothing more.

    Raises:
        CommandError: ``zstd`` failed.
    """
    kind = compression_of(path)
    if kind == "zstd":
        with reading_through(
            ["zstd", "--decompress", "--stdout", "--quiet", "--", str(path)]
        ) as stream:
            yield stream
        return
    with ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        if kind == "gzip":
            yield cast(BinaryIO, stack.enter_context(gzip.open(file)))
        elif kind in ("xz", "lzma"):
            yield cast(BinaryIO, stack.enter_context(lzma.open(file)))
        elif kind == "bzip2":
            yield cast(BinaryIO, stack.enter_context(bz2.open(file)))
        else:
            yield file
