"""Namespaces, and processes that die with their parent: see unshare(2), setns(2), prctl(2)."""

from __future__ import annotations

import ctypes
import os
import signal

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Move this process to new namespaces.

    Raises:
        OSError: The system call failed.
    """
    _check(_libc.unshare(flags))


def join(descriptor: int, flag: int) -> None:
    """Move this process to the namespace of a descriptor.

    Raises:
        OSError: The system call failed.
    """
    _check(_libc.setns(descriptor, flag))


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that forked it ends.

    A later change of this process's ids cancels this.
    """
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL))


def _check(status: int) -> None:
    if status:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
