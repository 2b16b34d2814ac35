"""Find blocks of zeros in files with holes, and copy parts of disks without losing holes."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from kiwinb.libc import LIBC, libc_call
from kiwinb.sandbox.holes import extents

BLOCK = 4096
"""Block size in bytes; holes that are kept are multiples of it."""

_PIECE = 1 << 20
_NO_BLOCK = bytes(BLOCK)
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # linux/falloc.h


def has_holes(status: os.stat_result) -> bool:
    """Tell whether blocks of zeros in a file become holes: whether it has any holes."""
    return status.st_blocks * 512 < status.st_size


def data_pieces(path: bytes, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield the content of a file without its holes, as (offset in bytes, data).

    If the file has holes, its other blocks of zeros count as holes, too. So what is made of it does
    not depend on where exactly the host's file system has holes.

    Args:
        path: The file.
        size: Its size in bytes.
    """
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - bytes
        if has_holes(os.fstat(file.fileno())):
            yield from _data_in_blocks(file)
            return
        offset = 0
        while piece := file.read(min(_PIECE, size - offset)):
            yield offset, piece
            offset += len(piece)


def _data_in_blocks(file: FileIO) -> Iterator[tuple[int, bytes]]:
    """Yield the content of a file without blocks of zeros."""
    for start, end in _in_blocks(file.fileno()):
        offset = start
        while piece := os.pread(file.fileno(), min(_PIECE, end - offset), offset):
            yield from _filled(offset, piece)
            offset += len(piece)


def _in_blocks(descriptor: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of the ranges in which a file has data, in bytes and whole blocks."""
    last, size = 0, os.fstat(descriptor).st_size
    for start, end in extents(descriptor):
        begin = max(start // BLOCK * BLOCK, last)
        last = min(-(-end // BLOCK) * BLOCK, size)
        if begin < last:
            yield begin, last


def _filled(offset: int, piece: bytes) -> Iterator[tuple[int, bytes]]:
    start = None
    for at in range(0, len(piece), BLOCK):
        block = piece[at : at + BLOCK]
        if block == _NO_BLOCK[: len(block)]:
            if start is not None:
                yield offset + start, piece[start:at]
            start = None
        elif start is None:
            start = at
    if start is not None:
        yield offset + start, piece[start:]


def punch_zeros(path: Path) -> None:
    """Turn blocks of zeros in a file into holes, if its file system supports this."""
    with path.open("r+b", buffering=0) as file:
        at, size = 0, path.stat().st_size
        for offset, piece in _data_in_blocks(file):
            _punch(file.fileno(), at, offset - at)
            at = offset + len(piece)
        _punch(file.fileno(), at, size - at)


def _punch(descriptor: int, start: int, length: int) -> None:
    if length <= 0:
        return
    place = (ctypes.c_int64(start), ctypes.c_int64(length))
    try:
        libc_call(LIBC.fallocate, descriptor, _PUNCH_HOLE | _KEEP_SIZE, *place)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise


def copy_changed(source: int, start: int, target: int, offset: int, size: int) -> None:
    """Copy a range of bytes, writing only the pieces that differ so that holes are kept.

    Args:
        source: Descriptor of the file to read.
        start: Start of the range in the source file, in bytes.
        target: Descriptor of the file to write; it must already be large enough.
        offset: Start of the range in the target file, in bytes.
        size: Number of bytes to copy.
    """
    for at in range(0, size, _PIECE):
        count = min(_PIECE, size - at)
        data = os.pread(source, count, start + at)
        if data != os.pread(target, count, offset + at):
            os.pwrite(target, data, offset + at)
