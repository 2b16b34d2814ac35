"""The system calls that programs of a tree may not make, compiled by libseccomp; see seccomp(2).

Everything is allowed except for

* calls that change the host or its kernel, or that see more than the cage of the program: mounts
  and namespaces, modules, BPF, tracing, keys, clocks, file handles and io_uring;
* sockets other than Unix, IP and netlink sockets;
* putting input into a terminal.

``fsync`` and similar calls do nothing, because a tree is discarded if its step is interrupted, and
the store itself syncs what it keeps.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from kiwinb.errors import HostError

_LIBRARY = "libseccomp.so.2"
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_EQUAL, _GREATER, _MASKED_EQUAL = 4, 6, 7  # enum scmp_compare
_BAD_ARCHITECTURE = 2  # SCMP_FLTATR_ACT_BADARCH

_COMPATIBLE = {"x86_64": ("x86",), "aarch64": ("arm",)}
"""Architectures, in libseccomp's terms, whose programs a kernel also executes, by machine."""

_DENIED = (
    *("mount", "umount", "umount2", "pivot_root", "move_mount", "open_tree", "open_tree_attr"),
    *("fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "setns"),
    *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot"),
    *("bpf", "perf_event_open", "userfaultfd", "ptrace", "process_vm_readv", "process_vm_writev"),
    *("kcmp", "pidfd_getfd", "process_madvise"),
    *("add_key", "request_key", "keyctl", "open_by_handle_at", "lookup_dcookie"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register"),
    *("acct", "quotactl", "quotactl_fd", "swapon", "swapoff", "syslog", "vhangup", "nfsservctl"),
    *("settimeofday", "stime", "adjtimex", "clock_settime", "clock_settime64", "clock_adjtime"),
    *("clock_adjtime64", "iopl", "ioperm", "vm86", "vm86old", "fanotify_init", "_sysctl", "uselib"),
)

_NOT_THERE = ("clone3",)
"""Calls whose arguments a filter cannot see; C libraries then make the older call."""

_IDLE = ("sync", "fsync", "fdatasync", "msync", "syncfs", "sync_file_range", "sync_file_range2")

_NEW_USER_NAMESPACE = 0x10000000
_FAMILIES = (1, 2, 10, 16)  # Unix, IPv4, IPv6, netlink
_TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX


class _Comparison(ctypes.Structure):
    """``struct scmp_arg_cmp``: how an argument of a call is compared."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def library() -> ctypes.CDLL:
    """Load libseccomp.

    Raises:
        HostError: It is not installed.
    """
    try:
        loaded = ctypes.CDLL(_LIBRARY)
    except OSError:
        raise HostError(
            "the library libseccomp is not installed on this host",
            remedy="Install it: sudo apt-get install libseccomp2",
        ) from None
    loaded.seccomp_init.restype = ctypes.c_void_p
    return loaded


@cache
def filter_program() -> bytes:
    """Return the filter, an array of ``struct sock_filter``.

    Raises:
        HostError: libseccomp is not installed, or too old.
    """
    with _filter(library()) as rules:
        for name in _DENIED:
            rules.add(name, errno.EPERM)
        for name in _NOT_THERE:
            rules.add(name, errno.ENOSYS)
        for name in _IDLE:
            rules.add(name, 0)
        flags = (0, _MASKED_EQUAL, _NEW_USER_NAMESPACE, _NEW_USER_NAMESPACE)
        for name in ("clone", "unshare"):
            rules.add(name, errno.EPERM, flags)
        for family in range(_FAMILIES[-1]):
            if family not in _FAMILIES:
                rules.add("socket", errno.EAFNOSUPPORT, (0, _EQUAL, family, 0))
        rules.add("socket", errno.EAFNOSUPPORT, (0, _GREATER, _FAMILIES[-1], 0))
        for request in _TERMINAL_INPUT:
            rules.add("ioctl", errno.EPERM, (1, _MASKED_EQUAL, 0xFFFFFFFF, request))
        return rules.compiled()


_Comparing = tuple[int, int, int, int]
"""Argument, operator and two values."""


class _Rules:
    """A filter that is being made."""

    def __init__(self, loaded: ctypes.CDLL, context: ctypes.c_void_p) -> None:
        self._library = loaded
        self._context = context

    def add(self, name: str, code: int, comparison: _Comparing | None = None) -> None:
        """Make a call fail with an error number, or do nothing if the number is 0.

        Args:
            name: Name of the call; calls that libseccomp does not know are left out.
            code: The error number.
            comparison: Only calls for which it is true fail.
        """
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        if number == -1:
            return
        compared = (_Comparison * 1)(_Comparison(*comparison) if comparison else _Comparison())
        status = self._library.seccomp_rule_add_array(
            self._context, _ERRNO | code, number, 1 if comparison else 0, compared
        )
        if status and status not in (-errno.EDOM, -errno.EOPNOTSUPP):
            raise _refused(f"the rule for {name}", status)

    def compiled(self) -> bytes:
        descriptor = os.memfd_create("filter")
        try:
            status = self._library.seccomp_export_bpf(self._context, descriptor)
            if status:
                raise _refused("the filter", status)
            return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        finally:
            os.close(descriptor)


@contextmanager
def _filter(loaded: ctypes.CDLL) -> Iterator[_Rules]:
    context = ctypes.c_void_p(loaded.seccomp_init(_ALLOW))
    if not context:
        raise _refused("a filter", -errno.ENOMEM)
    try:
        loaded.seccomp_attr_set(context, _BAD_ARCHITECTURE, _ERRNO | errno.ENOSYS)
        for name in _COMPATIBLE.get(platform.machine(), ()):
            loaded.seccomp_arch_add(context, loaded.seccomp_arch_resolve_name(name.encode()))
        yield _Rules(loaded, context)
    finally:
        loaded.seccomp_release(context)


def _refused(what: str, status: int) -> HostError:
    return HostError(
        f"libseccomp did not make {what}: {os.strerror(-status)}", remedy="Update libseccomp."
    )
