"""Copy files with holes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from kiwinb.sandbox.holes import extents

_PIECE = 1 << 24
_COMPARED = 1 << 20


def copy_data(source: Path, target: int, offset: int) -> None:
    """Copy the data of a file into another file, skipping holes.

    Args:
        source: The file to read.
        target: Descriptor of the file to write.
        offset: Offset in the target file, in bytes.
    """
    descriptor = os.open(source, os.O_RDONLY)
    try:
        for start, end in extents(descriptor):
            while start < end:
                start += _copy(descriptor, target, end - start, start, offset + start)
    finally:
        os.close(descriptor)


def copy_changed(source: int, start: int, target: int, offset: int, size: int) -> None:
    """Copy a range of bytes, writing only the pieces that differ so that holes are kept.

    Args:
        source: Descriptor of the file to read.
        start: Start of the range in the source file, in bytes.
        target: Descriptor of the file to write; it must already be large enough.
        offset: Start of the range in the target file, in bytes.
        size: Number of bytes to copy.
    """
    for at in range(0, size, _COMPARED):
        count = min(_COMPARED, size - at)
        data = os.pread(source, count, start + at)
        if data != os.pread(target, count, offset + at):
            os.pwrite(target, data, offset + at)


def _copy(source: int, target: int, count: int, start: int, place: int) -> int:
    try:
        return os.copy_file_range(source, target, min(count, _PIECE), start, place)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
    return os.pwrite(target, os.pread(source, min(count, _PIECE), start), place)
