"""Find data and holes in files."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator


def extents(descriptor: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges in which an open file has data, as (start, end) in bytes."""
    end, size = 0, os.fstat(descriptor).st_size
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole follows
                return
            raise
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end
