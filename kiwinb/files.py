"""Write files so that no reader ever sees a part of one, and read those that others may spoil."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path
from typing import Any

from kiwinb.typed_json import parsed

_LIMIT = 256 << 20


def replace_file(file: Path, content: str | bytes, *, mode: int = 0o666) -> None:
    """Write a file atomically: readers see its old content, or all of the new one.

    Args:
        file: The file; its directory has to exist.
        content: What to write; text is written as UTF-8.
        mode: Permission bits of the new file, without those of the umask.

    Raises:
        OSError: The file cannot be written; it is unchanged.
    """
    data = content.encode() if isinstance(content, str) else content
    draft = file.with_name(f".{file.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        draft.touch(mode, exist_ok=False)
        draft.write_bytes(data)
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def read_regular(file: Path, limit: int = _LIMIT) -> bytes:
    """Read a regular file; never wait for a pipe, follow a link, or read without end.

    Args:
        file: The file.
        limit: The largest number of bytes to read.

    Raises:
        OSError: It is something else, larger, or cannot be read.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with os.fdopen(os.open(file, flags), "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(file))
        data = stream.read(limit + 1)
        if len(data) > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(file))
        return data


def read_json(file: Path) -> Any:
    """Read a regular file as JSON.

    Raises:
        OSError: See :func:`read_regular`.
        ValueError: It is not JSON.
    """
    return parsed(read_regular(file))
