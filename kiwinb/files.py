"""Write files so that no reader ever sees a part of one, and read those that others may spoil."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path
from typing import Any, BinaryIO

from kiwinb.typed_json import parsed

_LIMIT = 256 << 20


class NotRegularError(OSError):
    """There is a file, but not a regular one."""


def replace_file(
    file: Path, content: str | bytes, *, mode: int = 0o666, durable: bool = False
) -> None:
    """Write a file atomically: readers see its old content, or all of the new one.

    Args:
        file: The file; its directory has to exist.
        content: What to write; text is written as UTF-8.
        mode: Permission bits of the new file, without those of the umask.
        durable: Wait until the disk has it, so that a power failure loses neither content. It
            takes some milliseconds.

    Raises:
        OSError: The file cannot be written; it is unchanged.
    """
    data = content.encode() if isinstance(content, str) else content
    draft = file.with_name(f".{file.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        draft.touch(mode, exist_ok=False)
        draft.write_bytes(data)
        if durable:
            sync(draft)
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    if durable:
        sync(file.parent)


def is_draft_of(name: str, final: str) -> bool:
    """Whether :func:`replace_file` left a file of this name when it was interrupted.

    Args:
        name: The name.
        final: Name of the file that it was to replace.
    """
    return name.startswith(f".{final}.")


def sync(path: Path) -> None:
    """Wait until the disk has the content of a file, or the names in a directory; see fsync(2).

    Raises:
        OSError: The disk cannot be written.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_regular(file: Path, limit: int = _LIMIT) -> bytes:
    """Read a regular file; never wait for a pipe, follow a link, or read without end.

    Args:
        file: The file.
        limit: The largest number of bytes to read.

    Raises:
        OSError: It is something else, larger, or cannot be read.
    """
    with open_regular(file) as stream:
        data = stream.read(limit + 1)
        if len(data) > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(file))
        return data


def open_regular(file: Path) -> BinaryIO:
    """Open a regular file to read it; never wait for a pipe or follow a link.

    Raises:
        NotRegularError: It is something else.
        OSError: It cannot be opened.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(file, flags)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, or a socket
            raise NotRegularError(errno.EINVAL, "Not a regular file", str(file)) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegularError(errno.EINVAL, "Not a regular file", str(file))
    return os.fdopen(descriptor, "rb")


def read_json(file: Path) -> Any:
    """Read a regular file as JSON.

    Raises:
        OSError: See :func:`read_regular`.
        ValueError: It is not JSON.
    """
    return parsed(read_regular(file))
