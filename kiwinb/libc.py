"""Functions of the C library that Python does not have."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable

LIBC = ctypes.CDLL(None, use_errno=True)
"""The C library. Call what can fail with :func:`libc_call`."""


def libc_call(
    function: Callable[..., int], *arguments: object, path: str | os.PathLike[str] = ""
) -> int:
    """Call a function of :data:`LIBC`, again as long as signals interrupt it.

    Python's own functions do so too (PEP 475).

    Args:
        function: Returns a negative number if it fails, and sets ``errno``.
        arguments: What it is called with.
        path: File that an error names, if any.

    Returns:
        What the function returns, 0 or more.

    Raises:
        OSError: The function failed.
    """
    while (result := function(*arguments)) < 0:
        code = ctypes.get_errno()
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code), os.fspath(path) or None)
    return result
