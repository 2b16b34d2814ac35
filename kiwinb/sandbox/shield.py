"""Protect the host from a step, which can write only to the directories that it needs.

Writing elsewhere, by a program that the step runs or through a symbolic link that leads out of a
root tree, fails with ``EROFS`` ("Read-only file system").
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from pathlib import Path

from kiwinb.sandbox.mounts import bind, make_readonly, make_writable


def shield_host(writable: Iterable[Path]) -> None:
    """Make all mounts in this mount namespace read-only, except for some directories and ``/proc``.

    If ``/`` is not a mount point, as in a plain chroot, this has no effect.

    Args:
        writable: Directories that stay writable; they are created if necessary.

    Raises:
        OSError: The kernel refuses it.
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
