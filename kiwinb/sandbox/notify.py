"""The filter that makes the kernel notify a supervisor of system calls; see seccomp_unotify(2)."""

from __future__ import annotations

import ctypes
import errno
import platform
import re
import select
import struct
from contextlib import suppress
from fcntl import ioctl

from kiwinb.libc import LIBC, libc_call
from kiwinb.sandbox.syscalls import (
    AF_ALG,
    AF_NETLINK,
    AF_UNIX,
    AT_EMPTY_PATH,
    AT_FDCWD,
    CALLS,
    FSTATAT,
    IO_URING_SETUP,
    MACHINES,
    NEWEST,
    SOCKET,
    UNOBSERVED,
)

RECEIVE, SEND, SET_FLAGS = 0xC0502100, 0xC0182101, 0x40082104
SYNC_WAKE_UP = 1
CONTINUE = 1
EMPTY_NOTE = bytes(80)
NOTE = struct.Struct("=QIIQQ6Q")  # id, pid, flags, number and architecture, address, arguments
ANSWER = struct.Struct("=QqiI")
FIRST_ARGUMENT = 5

_OLDEST = (5, 19)
"""First kernel in which only a fatal signal interrupts a call whose notification was received."""
_RECEIVES_THE_END = (6, 11)
"""First kernel in which waiting for a notification ends once no more can come."""

_LOAD, _JUMP_EQUAL, _JUMP_ABOVE, _JUMP_ANY, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_ALLOW, _NOTIFY, _NO_SUCH_CALL = 0x7FFF0000, 0x7FC00000, 0x00050000 | errno.ENOSYS
_X32 = 0x40000000

_SET_MODE_FILTER = 1
_NEW_LISTENER, _WAIT_KILLABLE = 1 << 3, 1 << 5


def _argument(index: int) -> int:
    """Return the offset of the lower half of an argument on a little-endian machine."""
    return 16 + 8 * index


def _filter(arch: int, column: int) -> bytes:
    """Return the filter program: notify of calls in the tables, refuse io_uring, allow all others.

    glibc's ``fstat`` is ``newfstatat(fd, "", ..., AT_EMPTY_PATH)``. It is allowed, because it makes
    up half of all calls and does not read a path.
    """
    numbers = [(call.x86_64, call.generic)[column] for call in CALLS]
    numbers += [pair[column] for pairs in UNOBSERVED.values() for pair in pairs]
    special = {SOCKET[column], FSTATAT[column]}
    plain = sorted({number for number in numbers if number is not None} - special)
    lines: list[tuple[int, str, str, int]] = [
        (_LOAD, "", "", 4),
        (_JUMP_EQUAL, "", "notify", arch),
        (_LOAD, "", "", 0),
        (_JUMP_ANY, "notify", "", _X32),
        (_JUMP_ABOVE, "refuse", "", NEWEST),
        (_JUMP_EQUAL, "refuse", "", IO_URING_SETUP[column]),
        (_JUMP_EQUAL, "fstatat", "", FSTATAT[column]),
        (_JUMP_EQUAL, "socket", "", SOCKET[column]),
        *((_JUMP_EQUAL, "notify", "", number) for number in plain),
        (_RETURN, "", "", _ALLOW),
    ]
    labels = {"fstatat": len(lines)}
    lines += [
        (_LOAD, "", "", _argument(3)),
        (_JUMP_ANY, "", "notify", AT_EMPTY_PATH),
        (_LOAD, "", "", _argument(0)),
        (_JUMP_EQUAL, "notify", "allow", AT_FDCWD),
    ]
    labels["socket"] = len(lines)
    lines += [
        (_LOAD, "", "", _argument(0)),
        (_JUMP_EQUAL, "allow", "", AF_UNIX),
        (_JUMP_EQUAL, "allow", "", AF_NETLINK),
        (_JUMP_EQUAL, "allow", "notify", AF_ALG),
    ]
    for label, action in (("notify", _NOTIFY), ("refuse", _NO_SUCH_CALL), ("allow", _ALLOW)):
        labels[label] = len(lines)
        lines.append((_RETURN, "", "", action))

    def jump(at: int, label: str) -> int:
        return labels[label] - at - 1 if label else 0

    return b"".join(
        struct.pack("=HBBI", code, jump(at, yes), jump(at, no), value)
        for at, (code, yes, no, value) in enumerate(lines)
    )


def install() -> int:
    """Install the filter on this process, which cannot be undone.

    Returns:
        The descriptor that receives notifications.

    Raises:
        OSError: The kernel does not allow it, or this process already has a supervisor.
    """
    arch, column, seccomp = MACHINES[platform.machine()]
    code = _filter(arch, column)
    program = ctypes.create_string_buffer(code)
    header = struct.pack("@HP", len(code) // 8, ctypes.addressof(program))
    if kernel() < _OLDEST:  # it lacks _WAIT_KILLABLE
        raise OSError(errno.ENOSYS, f"Linux {platform.release()} is too old")
    flags = _NEW_LISTENER | _WAIT_KILLABLE
    return libc_call(LIBC.syscall, seccomp, _SET_MODE_FILTER, flags, header)


def kernel() -> tuple[int, int]:
    """Return the version of the running kernel, such as (6, 11); (0, 0) if it is not understood."""
    major, _dot, rest = platform.release().partition(".")
    minor = re.match(r"\d+", rest)
    return (int(major), int(minor[0])) if major.isdigit() and minor else (0, 0)


class Channel:
    """The descriptor of a filter, for receiving notifications and sending answers."""

    def __init__(self, listener: int) -> None:
        self.listener = listener
        self.interrupted = 0
        """Number of calls that were interrupted before their notification could be received."""
        self._poll = select.poll()
        self._poll.register(listener, select.POLLIN)
        self._may_block = kernel() < _RECEIVES_THE_END

    def receive(self) -> bytes | None:
        """Wait for the next notification; return ``None`` once all processes have ended.

        Raises:
            OSError: The kernel returns an unexpected error.
        """
        while True:
            if self._may_block and self._is_over(None):
                return None
            try:
                return ioctl(self.listener, RECEIVE, EMPTY_NOTE)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.EINTR):
                    raise
                if error.errno == errno.ENOENT:
                    if self._is_over(0):
                        return None
                    self.interrupted += 1

    def _is_over(self, milliseconds: int | None) -> bool:
        return any(events & select.POLLHUP for _fd, events in self._poll.poll(milliseconds))

    def answer(self, identity: int) -> None:
        """Let a call continue.

        Raises:
            OSError: The process has ended, or a signal interrupted the call, which then causes
                another notification.
        """
        ioctl(self.listener, SEND, ANSWER.pack(identity, 0, 0, CONTINUE))

    def wave_through(self) -> None:
        """Let all calls continue, without looking at them, until all processes have ended."""
        with suppress(OSError):
            while (data := self.receive()) is not None:
                with suppress(OSError):
                    self.answer(NOTE.unpack(data)[0])
