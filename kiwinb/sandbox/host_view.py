"""What programs in a cage see of the host: its programs, and settings that every user may read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from kiwinb.sandbox.cage import Bound, View

_PROGRAMS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SETTINGS = ("/etc", "/usr/local/etc")
_EMPTY = ("/root", "/home", "/run", "/tmp", "/var/tmp")


def host_view(writable: Sequence[Path]) -> View:
    """Return a view of the host without the files of its users, its secrets and its sockets.

    Args:
        writable: Directories that the program sees, and may write to, under the same path.
    """
    programs = [Path(name) for name in _PROGRAMS if Path(name).exists()]
    shown = [place for place in (*programs, Path("/etc")) if not place.is_symlink()]
    return View(
        bound=(
            *(Bound(place, str(place)) for place in shown),
            *(Bound(place, str(place), writable=True) for place in writable),
        ),
        links=tuple((os.fspath(p.readlink()), str(p)) for p in programs if p.is_symlink()),
        empty=_EMPTY,
        hidden=tuple(str(place) for name in _SETTINGS for place in _private(Path(name))),
    )


def _private(directory: Path) -> Iterator[Path]:
    """Yield the files and directories in a directory that only some users may read."""
    for folder, names, files in os.walk(directory):
        for name in (*names, *files):
            place = Path(folder, name)
            status = place.lstat()
            if stat.S_ISLNK(status.st_mode):
                continue
            needed = stat.S_IXOTH if stat.S_ISDIR(status.st_mode) else stat.S_IROTH
            if not status.st_mode & needed:
                yield place
                if name in names:
                    names.remove(name)
