"""Suppress ``fsync`` of dpkg and others, because a tree is discarded if its step is interrupted.

A seccomp filter (see seccomp(2)) makes ``fsync`` and similar system calls of this process and its
children return success at once. The checkpoint store itself syncs what it keeps.
"""

from __future__ import annotations

import ctypes
import platform
import struct

_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_RET_ALLOW = 0x7FFF0000
_RET_ERRNO_0 = 0x00050000
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_OFFSET_NUMBER, _OFFSET_ARCH = 0, 4

_GENERIC = (81, 82, 83, 84, 227, 267)
_SYSTEM_CALLS = {
    "x86_64": (0xC000003E, (26, 74, 75, 162, 277, 306)),
    "aarch64": (0xC00000B7, _GENERIC),
    "riscv64": (0xC00000F3, _GENERIC),
}
"""AUDIT_ARCH and the numbers of ``sync``, ``fsync``, ``fdatasync``, ``msync``, ``syncfs`` and
``sync_file_range``, by machine."""


def suppress_sync() -> None:
    """Make ``fsync`` and similar system calls of this process do nothing from now on.

    To be called in a new process before it executes a program. It has no effect if the kernel does
    not allow it, or on other architectures.
    """
    if platform.machine() not in _SYSTEM_CALLS:
        return
    arch, numbers = _SYSTEM_CALLS[platform.machine()]
    count = len(numbers)
    program = [
        (_LOAD, 0, 0, _OFFSET_ARCH),
        (_JUMP_IF_EQUAL, 0, count + 1, arch),
        (_LOAD, 0, 0, _OFFSET_NUMBER),
        *((_JUMP_IF_EQUAL, count - i, 0, number) for i, number in enumerate(numbers)),
        (_RETURN, 0, 0, _RET_ALLOW),
        (_RETURN, 0, 0, _RET_ERRNO_0),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    filters = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    ctypes.CDLL(None).prctl(
        _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_void_p(ctypes.addressof(filters)), 0, 0
    )
