"""Shield the host from a step: only the places that it is to write to can be written to.

No program that a step runs, and no symbolic link that it follows out of a root tree, changes
anything else; it fails with ``EROFS`` ("Read-only file system").
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from pathlib import Path

from kiwinb.sandbox.mounts import bind, make_readonly, make_writable


def shield_host(writable: Iterable[Path]) -> None:
    """Make all mounts of this mount namespace read-only, but for these directories and ``/proc``.

    Where ``/`` is no mount point of its own, as in a plain chroot, nothing is changed.

    Args:
        writable: Made when they are not there.

    Raises:
        OSError: As the kernel says.
    """
    places = [place.resolve() for place in writable]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        bind(place, place, recursive=True)
    try:
        make_readonly(Path("/"), recursive=True)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return
        raise
    for place in (*places, Path("/proc")):
        make_writable(place)
