"""When something was used last, in an order that does not depend on the clock of the host.

A clock can be set back: by its owner, by a time server after a wrong start, or by a machine without
a battery. What is used after that has to count as used later, or the store would remove it first.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_STEP_NS = 1_000_000
"""A number of seconds with a fraction, as in :meth:`os.stat_result.st_mtime`, shows this much."""


def tick(file: Path) -> int:
    """Return the time, but always a later one than before.

    Args:
        file: Its modification time is the latest time that was returned; it is created if there
            is none.

    Returns:
        Nanoseconds since 1970-01-01 UTC.

    Raises:
        OSError: The file cannot be written.
    """
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        now = max(time.time_ns(), os.fstat(descriptor).st_mtime_ns + _STEP_NS)
        os.utime(descriptor, ns=(now, now))
    finally:
        os.close(descriptor)
    return now
