"""Tables of the system calls that take paths, and of what they read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from kiwinb.sandbox.observation import Kind

AT_FDCWD = 0xFFFFFF9C
AT_SYMLINK_NOFOLLOW = 0x100
AT_REMOVEDIR = 0x200
AT_SYMLINK_FOLLOW = 0x400
AT_EMPTY_PATH = 0x1000
NEWEST = 469  # newer system calls are refused, because they might take paths unobserved


@dataclass(frozen=True)
class CallPath:
    """Position of a path in a system call.

    Attributes:
        argument: Index of the argument with the path.
        directory: Index of the argument with its directory, if any.
    """

    argument: int
    directory: int | None = None


@dataclass(frozen=True)
class Call:
    """A system call that takes paths.

    Attributes:
        x86_64: Its number on x86_64; ``None`` if it does not exist there.
        generic: Its number on newer architectures; ``None`` if it does not exist there.
        paths: Positions of its paths.
        what: What it does with each path, as a word for :func:`meaning`.
        flags: Index of the argument with its flags.
        mask: Flags that matter.
    """

    x86_64: int | None
    generic: int | None
    paths: tuple[CallPath, ...]
    what: tuple[str, ...]
    flags: int | None = None
    mask: int = 0


OPEN_MASK: Final = (
    os.O_ACCMODE
    | os.O_CREAT
    | os.O_EXCL
    | os.O_TRUNC
    | os.O_DIRECTORY
    | os.O_NOFOLLOW
    | os.O_PATH
    | (os.O_TMPFILE & ~os.O_DIRECTORY)
)
AT_MASK: Final = AT_SYMLINK_NOFOLLOW | AT_SYMLINK_FOLLOW | AT_REMOVEDIR | AT_EMPTY_PATH


def _plain(x86_64: int | None, generic: int | None, *what: str) -> Call:
    """Make a call whose first arguments are its paths."""
    return Call(x86_64, generic, tuple(CallPath(i) for i in range(len(what))), what)


def _at(
    x86_64: int | None, generic: int | None, what: str, flags: int | None = None, mask: int = 0
) -> Call:
    """Make a call whose first arguments are a directory and a path in it."""
    return Call(x86_64, generic, (CallPath(1, 0),), (what,), flags, mask or AT_MASK)


_TWO_AT: Final = (CallPath(1, 0), CallPath(3, 2))

CALLS: Final = (
    Call(2, None, (CallPath(0),), ("open",), 1, OPEN_MASK),
    _at(257, 56, "open", 2, OPEN_MASK),
    _at(437, 437, "open2"),
    _plain(85, None, "creat"),
    _plain(4, None, "stat"),
    _plain(6, None, "lstat"),
    _at(262, 79, "stat", 3),  # newfstatat
    _at(332, 291, "stat", 2),  # statx
    _plain(21, None, "stat"),  # access
    _at(269, 48, "stat"),  # faccessat
    _at(439, 439, "stat", 3),  # faccessat2
    _plain(89, None, "lstat"),  # readlink
    _at(267, 78, "lstat"),  # readlinkat
    _plain(59, 221, "execute"),
    _at(322, 281, "execute", 4),
    _plain(191, 8, "stat"),  # getxattr
    _plain(192, 9, "lstat"),
    _plain(194, 11, "stat"),  # listxattr
    _plain(195, 12, "lstat"),
    _plain(188, 5, "alter"),  # setxattr
    _plain(189, 6, "alter-link"),
    _plain(197, 14, "alter"),  # removexattr
    _plain(198, 15, "alter-link"),
    _at(463, 463, "alter", 2),  # setxattrat
    _at(464, 464, "stat", 2),
    _at(465, 465, "stat", 2),
    _at(466, 466, "alter", 2),
    _at(468, 468, "stat", 4),  # file_getattr
    _at(469, 469, "alter", 4),
    _plain(80, 49, "stat"),  # chdir
    _plain(161, 51, "chroot"),
    _plain(87, None, "entry"),  # unlink
    _at(263, 35, "unlink", 2),
    _plain(84, None, "rmdir"),
    _plain(82, None, "move", "entry"),  # rename
    Call(264, 38, _TWO_AT, ("move", "entry")),
    Call(316, 276, _TWO_AT, ("move", "entry"), 4, 2),  # renameat2, RENAME_EXCHANGE
    _plain(83, None, "entry"),  # mkdir
    _at(258, 34, "entry"),
    _plain(133, None, "entry"),  # mknod
    _at(259, 33, "entry"),
    _plain(86, None, "alter-link", "entry"),  # link
    Call(265, 37, _TWO_AT, ("link", "entry"), 4, AT_MASK),
    Call(88, None, (CallPath(1),), ("symlink",)),
    Call(266, 36, (CallPath(2, 1),), ("symlink",)),
    _plain(90, None, "alter"),  # chmod
    _at(268, 53, "alter"),
    _at(452, 452, "alter", 3),
    _plain(92, None, "alter"),  # chown
    _plain(94, None, "alter-link"),
    _at(260, 54, "alter", 4),
    _plain(132, None, "alter"),  # utime
    _plain(235, None, "alter"),
    _at(261, None, "alter"),
    _at(280, 88, "alter", 3),
    _plain(76, 45, "alter"),  # truncate
    _plain(137, 43, "stat"),  # statfs
    _at(303, 264, "stat"),  # name_to_handle_at
    Call(254, 27, (CallPath(1),), ("content",)),  # inotify_add_watch
    Call(49, 200, (CallPath(1),), ("socket-entry",)),  # bind
    Call(42, 203, (CallPath(1),), ("socket",)),  # connect
    Call(165, 40, (CallPath(1),), ("mount",)),
    Call(166, 39, (CallPath(0),), ("mount",)),  # umount2
)

UNOBSERVED: Final = {
    "a mount": ((155, 41), (429, 429), (428, 428), (430, 430), (433, 433), (467, 467)),
    "another namespace": ((308, 268),),
    "a file handle": ((304, 265),),
    "a watch": ((301, 263),),
    "a network": ((41, 198),),
}
"""Calls that change the meaning of paths, or read something other than paths."""

SOCKET: Final = (41, 198)
FSTATAT: Final = (262, 79)
IO_URING_SETUP: Final = (425, 425)
AF_UNIX, AF_NETLINK, AF_ALG = 1, 16, 38  # address families that stay on this host

MACHINES: Final = {
    "x86_64": (0xC000003E, 0, 317),
    "aarch64": (0xC00000B7, 1, 277),
    "riscv64": (0xC00000F3, 1, 277),
}
"""AUDIT_ARCH, column in the tables, and the number of seccomp(2), by machine."""

_Meaning = tuple[tuple[Kind, bool], ...]


def meaning(what: str, flags: int) -> _Meaning:
    """Return what a call reads of a path, and whether it follows a symbolic link at the path.

    Args:
        what: A word in :attr:`Call.what`.
        flags: Flags of the call.
    """
    follow = not flags & AT_SYMLINK_NOFOLLOW
    if what == "open":
        return _meaning_of_open(flags)
    if what == "unlink":
        what = "rmdir" if flags & AT_REMOVEDIR else "entry"
    elif what == "link":
        what = "alter" if flags & AT_SYMLINK_FOLLOW else "alter-link"
    return {
        "creat": _meaning_of_open(os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        "stat": ((Kind.LOOKUP, follow),),
        "lstat": ((Kind.LOOKUP, False),),
        "content": ((Kind.CONTENT, True),),
        "execute": ((Kind.CONTENT, follow),),
        "chroot": ((Kind.LOOKUP, True),),
        "mount": ((Kind.LOOKUP, True),),
        "alter": ((Kind.CONTENT, follow), (Kind.ENTRY, follow)),
        "alter-link": ((Kind.CONTENT, False), (Kind.ENTRY, False)),
        "entry": ((Kind.ENTRY, False),),
        "symlink": ((Kind.ENTRY, False),),
        "rmdir": ((Kind.LISTING, False), (Kind.ENTRY, False)),
        "move": ((Kind.TREE, False), (Kind.ENTRY, False)),
        "socket": ((Kind.LOOKUP, True),),
        "socket-entry": ((Kind.ENTRY, False),),
    }[what]


def _meaning_of_open(flags: int) -> _Meaning:
    follow = not flags & os.O_NOFOLLOW
    if flags & os.O_PATH:
        return ((Kind.LOOKUP, follow),)
    if flags & os.O_TMPFILE == os.O_TMPFILE:
        return ((Kind.ENTRY, follow),)
    if flags & os.O_CREAT and flags & os.O_EXCL:
        return ((Kind.ENTRY, False),)
    if flags & os.O_DIRECTORY:
        return ((Kind.LISTING, follow),)
    writes = flags & (os.O_ACCMODE | os.O_CREAT | os.O_TRUNC)
    if not writes:
        return ((Kind.CONTENT, follow),)
    if flags & os.O_TRUNC:
        return ((Kind.ENTRY, follow),)
    return ((Kind.CONTENT, follow), (Kind.ENTRY, follow))
