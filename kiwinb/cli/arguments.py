"""Hide secrets in the arguments of this process, which all users of the host can read."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path

from kiwinb.description.login import logins


def hide(secret: str) -> None:
    """Overwrite a text in the memory that ``/proc/PID/cmdline`` shows.

    The arguments that Python has are copies, and stay as they are.
    """
    with suppress(OSError, ValueError, IndexError):
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end, see proc(5)
        shown = Path("/proc/self/cmdline").read_bytes()
        wanted = secret.encode("utf-8", "surrogateescape")
        if not wanted or len(shown) != end - start:
            return
        place = shown.find(wanted)
        while place >= 0:
            ctypes.memmove(start + place, b"x" * len(wanted), len(wanted))
            place = shown.find(wanted, place + len(wanted))


def hide_logins(text: str) -> None:
    """Overwrite the user names and passwords in the URLs of an argument."""
    for login in logins(text):
        hide(login)
