"""Where files have data, and where holes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator


def extents(descriptor: int) -> Iterator[tuple[int, int]]:
    """Where an open file has data, as (start, end) in bytes; the rest are holes."""
    end, size = 0, os.fstat(descriptor).st_size
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole follows
                return
            raise
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end
