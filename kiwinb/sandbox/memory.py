"""Read the memory of other processes, and the interpreters that programs name."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from kiwinb.libc import LIBC, libc_call

_SHORT, _LONGEST = 256, 4096


class _IoVec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_size_t), ("length", ctypes.c_size_t)]


class Memory:
    """Reader of the memory of other processes."""

    def __init__(self) -> None:
        self.buffer = ctypes.create_string_buffer(_SHORT)
        self.remote = _IoVec(0, _SHORT)
        self._local = _IoVec(ctypes.addressof(self.buffer), _SHORT)
        self.arguments = (ctypes.byref(self._local), 1, ctypes.byref(self.remote), 1, 0)
        self.readv = ctypes.PyDLL(None).process_vm_readv  # releasing the GIL takes longer
        for function in (self.readv, LIBC.process_vm_readv):
            vectors = (ctypes.c_void_p, ctypes.c_ulong) * 2
            function.argtypes = [ctypes.c_int, *vectors, ctypes.c_ulong]
            function.restype = ctypes.c_ssize_t

    def read(self, pid: int, address: int, size: int) -> bytes:
        """Read up to ``size`` bytes, as far as they are mapped.

        Raises:
            OSError: Nothing is mapped at the address, or reading it is not allowed.
        """
        buffer = ctypes.create_string_buffer(size)
        local = _IoVec(ctypes.addressof(buffer), size)
        remote = _IoVec(address, size)
        vectors = (ctypes.byref(local), 1, ctypes.byref(remote), 1)
        got = libc_call(LIBC.process_vm_readv, pid, *vectors, 0)
        return buffer.raw[:got]

    def string(self, pid: int, address: int) -> bytes | None:
        """Read a path; ``None`` if there is none, so that the system call will fail.

        Raises:
            OSError: Reading it is not allowed.
        """
        if not address:
            return None
        if not pid:
            raise OSError("a process outside of this process namespace")
        try:
            data = self.read(pid, address, _LONGEST)
        except OSError as error:
            if error.errno in (errno.EFAULT, errno.ESRCH):
                return None
            raise
        text, end, _rest = data.partition(b"\0")
        return text if end else None  # ENAMETOOLONG, or EFAULT


def interpreter_of(descriptor: int) -> bytes:
    """Return the interpreter that a script or an ELF file names; empty if there is none."""
    head = os.pread(descriptor, 4096, 0)
    if head.startswith(b"#!"):
        words = head[2:].partition(b"\n")[0].split(maxsplit=1)
        return words[0] if words else b""
    if not head.startswith(b"\x7fELF") or len(head) < 64:
        return b""
    wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
    if not wide:
        return b""  # its first system call reports a foreign architecture
    start, size, count = struct.unpack_from(order + "Q14xHH", head, 32)
    for index in range(count):
        entry = os.pread(descriptor, size, start + index * size)
        if len(entry) == size and struct.unpack_from(order + "I", entry)[0] == 3:  # PT_INTERP
            offset, length = struct.unpack_from(order + "Q16xQ", entry, 8)
            return os.pread(descriptor, min(length, 4096), offset).partition(b"\0")[0]
    return b""
