"""Mount file systems in the mount namespace of a worker; see mount(2) and mount_setattr(2)."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from pathlib import Path

from kiwinb.libc import LIBC, libc_call

MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000

_MNT_DETACH = 2
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_SYS_MOUNT_SETATTR = 442  # the same on all architectures
_MOUNT_ATTR_RDONLY = 0x1
_MOUNT_ATTR_NOSUID = 0x2
_MOUNT_ATTR_NODEV = 0x4


def mount(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    kind: str | None = None,
    flags: int = 0,
    options: str = "",
) -> None:
    """Mount a file system.

    Raises:
        OSError: The kernel refuses it; ``filename`` is the target.
    """
    libc_call(
        LIBC.mount,
        os.fsencode(source),
        os.fsencode(target),
        None if kind is None else kind.encode(),
        ctypes.c_ulong(flags),
        os.fsencode(options),
        path=target,
    )


def bind(source: Path, target: Path, *, readonly: bool = False, recursive: bool = False) -> None:
    """Bind-mount a file or directory at another place.

    Args:
        source: The file or directory.
        target: The mount point.
        readonly: Whether the mount is read-only.
        recursive: Whether to include mounts below the source.

    Raises:
        OSError: The kernel refuses it.
    """
    mount(source, target, None, MS_BIND | (MS_REC if recursive else 0))
    if readonly:
        try:
            make_readonly(target, recursive=recursive)
        except OSError:
            unmount(target)
            raise


def make_readonly(target: Path, *, recursive: bool) -> None:
    """Make a mount read-only, and with ``recursive`` also those below it.

    Raises:
        OSError: The kernel refuses it.
    """
    _set_attributes(target, _AT_RECURSIVE if recursive else 0, setting=_MOUNT_ATTR_RDONLY)


def make_harmless(target: Path, *, nosuid: bool = False) -> None:
    """Let nobody open device nodes on a mount; with ``nosuid``, setuid programs run as the caller.

    Raises:
        OSError: The kernel refuses it.
    """
    setting = _MOUNT_ATTR_NODEV | (_MOUNT_ATTR_NOSUID if nosuid else 0)
    _set_attributes(target, 0, setting=setting)


def make_writable(target: Path) -> None:
    """Make a mount writable again after :func:`make_readonly`.

    Raises:
        OSError: The kernel refuses it.
    """
    _set_attributes(target, 0, clearing=_MOUNT_ATTR_RDONLY)


def _set_attributes(target: Path, flags: int, *, setting: int = 0, clearing: int = 0) -> None:
    attributes = struct.pack("=QQQQ", setting, clearing, 0, 0)
    libc_call(
        LIBC.syscall,
        ctypes.c_long(_SYS_MOUNT_SETATTR),
        ctypes.c_int(_AT_FDCWD),
        os.fsencode(target),
        ctypes.c_uint(flags),
        attributes,
        ctypes.c_size_t(len(attributes)),
        path=target,
    )


def unmount(target: Path) -> None:
    """Detach a mount and all mounts below it, even if they are in use.

    Raises:
        OSError: The kernel refuses it.
    """
    libc_call(LIBC.umount2, os.fsencode(target), _MNT_DETACH, path=target)


def unmount_now(target: Path) -> None:
    """Unmount a file system.

    Raises:
        OSError: The kernel refuses it, with ``EBUSY`` if the file system is in use.
    """
    libc_call(LIBC.umount2, os.fsencode(target), 0, path=target)


def is_denied(error: OSError) -> bool:
    """Tell whether an error means that the host does not allow an operation."""
    return error.errno in (errno.EPERM, errno.EACCES)
