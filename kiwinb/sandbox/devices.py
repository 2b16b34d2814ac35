"""Device nodes of a root tree, either real ones or stand-ins.

In a user namespace, the kernel does not allow device nodes. There, a stand-in represents the node:
an empty regular file with the same mode and owner, whose extended attribute ``user.kiwinb.device``
(``c:1:3``) holds kind and numbers.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

DEVICE_ATTRIBUTE = "user.kiwinb.device"


@dataclass(frozen=True)
class Device:
    """A device node.

    Attributes:
        kind: ``c`` for a character device, ``b`` for a block device.
        major: Major number.
        minor: Minor number.
    """

    kind: Literal["c", "b"]
    major: int
    minor: int


def make_device(path: Path, mode: int, major: int, minor: int) -> None:
    """Make a real device node, or a stand-in if the kernel does not allow that.

    Args:
        path: Path, which must not exist.
        mode: Type and permissions, for example ``stat.S_IFCHR | 0o666``.
        major: Major number.
        minor: Minor number.
    """
    try:
        os.mknod(path, mode, os.makedev(major, minor))
    except PermissionError as error:
        if error.errno != errno.EPERM:
            raise
        make_stand_in(path, mode, major, minor)
    path.chmod(stat.S_IMODE(mode))


def make_stand_in(path: Path, mode: int, major: int, minor: int) -> None:
    """Make a stand-in for a device node; arguments as for :func:`make_device`."""
    kind = "b" if stat.S_ISBLK(mode) else "c"
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    os.setxattr(path, DEVICE_ATTRIBUTE, f"{kind}:{major}:{minor}".encode())
    path.chmod(stat.S_IMODE(mode))


def read_device(path: str | bytes | os.PathLike[str], status: os.stat_result) -> Device | None:
    """Read the device node or stand-in at a path; ``None`` for other files.

    Args:
        path: The path.
        status: Result of ``os.lstat`` for the path.
    """
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        kind: Literal["c", "b"] = "b" if stat.S_ISBLK(status.st_mode) else "c"
        return Device(kind, os.major(status.st_rdev), os.minor(status.st_rdev))
    if not stat.S_ISREG(status.st_mode) or status.st_size:
        return None
    try:
        value = os.getxattr(path, DEVICE_ATTRIBUTE, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return None
        raise
    kind_text, major, minor = value.decode("ascii").split(":")
    return Device("b" if kind_text == "b" else "c", int(major), int(minor))
