"""The clock of the host: what it says, and whether that can be.

Images, keys of content and the order in the store do not depend on the clock. Signatures do, and
so do the times of files that a step makes: those later than the packages are set back to the time
of the packages, and those earlier are not.
"""

from __future__ import annotations

import time

from kiwinb.errors import HostError

_DAY = 24 * 3600


def in_words(seconds: float) -> str:
    """A time, in seconds since 1970-01-01 UTC, in words."""
    try:
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
    except (OverflowError, OSError, ValueError):
        return f"{seconds:.0f} s after 1970"


def clock_hint() -> str:
    """What the clock says, for errors that a wrong clock may cause."""
    return f"The clock of this host says {in_words(time.time())}; if that is wrong, set it first."


def check_clock(epoch: float, what: str) -> None:
    """Make sure that the clock is not a day or more behind what has already been made.

    Args:
        epoch: When it was made, in seconds since 1970-01-01 UTC.
        what: What was made then, for the message.

    Raises:
        HostError: The clock is behind.
    """
    now = time.time()
    if now + _DAY < epoch:
        raise HostError(
            f"the clock of this host is wrong: it says {in_words(now)}, but {what} "
            f"was made at {in_words(epoch)}",
            remedy="Set the clock, and run again. What was built before is kept.",
        )
