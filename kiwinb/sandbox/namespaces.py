"""Namespaces, and processes that die together: see unshare(2), setns(2) and prctl(2)."""

from __future__ import annotations

import ctypes
import os
import signal

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000

_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Put this process into new namespaces.

    Raises:
        OSError: As the kernel says.
    """
    _check(_libc.unshare(flags))


def join(descriptor: int, flag: int) -> None:
    """Put this process into a namespace that is held open.

    Raises:
        OSError: As the kernel says.
    """
    _check(_libc.setns(descriptor, flag))


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that forked it ends.

    A change of this process's ids takes that back.
    """
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL))


def _check(status: int) -> None:
    if status:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
