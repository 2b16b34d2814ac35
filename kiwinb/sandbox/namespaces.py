"""Namespaces, and processes that die with their parent: see unshare(2), setns(2), prctl(2)."""

from __future__ import annotations

import signal

from kiwinb.libc import LIBC, libc_call

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

_PR_SET_PDEATHSIG = 1


def unshare(flags: int) -> None:
    """Move this process to new namespaces.

    Raises:
        OSError: The system call failed.
    """
    libc_call(LIBC.unshare, flags)


def join(descriptor: int, flag: int) -> None:
    """Move this process to the namespace of a descriptor.

    Raises:
        OSError: The system call failed.
    """
    libc_call(LIBC.setns, descriptor, flag)


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that forked it ends.

    A later change of this process's ids cancels this.
    """
    libc_call(LIBC.prctl, _PR_SET_PDEATHSIG, signal.SIGKILL)
