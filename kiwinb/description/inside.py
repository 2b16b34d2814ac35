"""The files of a description: regular files and directories that belong to it, and nothing else.

A build reads them as root, and what it reads gets into the image. So a description cannot name what
is somewhere else on the host. A symbolic link may lead to a file that every user may read.
Descriptions that are kept together under version control may share all their files.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

from kiwinb.description.xml import display
from kiwinb.errors import DescriptionError, Location
from kiwinb.spelling import shortened

_VERSION_CONTROL = (".git", ".hg", ".svn", ".bzr")
_KINDS = {
    stat.S_IFIFO: "a named pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a directory",
}


def checked_name(name: str, file: Path) -> str:
    """Check the name that a description gives to one of its files.

    Args:
        name: The name.
        file: The description file, for messages.

    Raises:
        DescriptionError: It leads out of the directory, or no file can have it.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
        raise DescriptionError(
            f"{shortened(name)!r} cannot name a file of the description",
            remedy="Put the file into the description directory, and name it relative to that.",
            location=Location(file),
        )
    return name


def checked_file(path: Path, directory: Path, *, may_be_directory: bool = False) -> Path:
    """Check a file that belongs to a description.

    Args:
        path: The file.
        directory: The description directory.
        may_be_directory: Whether it may be a directory.

    Raises:
        DescriptionError: It cannot be reached, is not a regular file, or is a symbolic link that
            leads out of the description.
    """
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
        place = Path(os.path.realpath(path, strict=True))
    except OSError as error:
        what = "the symbolic link leads to nothing" if path.is_symlink() else "cannot read it"
        raise _wrong(path, f"{what}: {error.strerror}", "Correct or remove it.") from None
    if kind != stat.S_IFREG and not (may_be_directory and kind == stat.S_IFDIR):
        raise _wrong(
            path, f"it is {_KINDS.get(kind, 'no file')}", "Put a regular file there, or remove it."
        )
    home = _home(directory)
    if not place.is_relative_to(home) and not (kind == stat.S_IFREG and _is_public(place)):
        raise _wrong(
            path,
            f"it leads to {display(place)}, which is not part of the description, and which not "
            "every user may read",
            f"Copy it to {display(home)}.",
        )
    return path


def _is_public(file: Path) -> bool:
    """Tell whether every user of the host may read a file."""
    ways = all(place.stat().st_mode & stat.S_IXOTH for place in file.parents)
    return ways and bool(file.stat().st_mode & stat.S_IROTH)


def _home(directory: Path) -> Path:
    """The directory that holds a description, and those that are kept together with it."""
    own = Path(os.path.realpath(directory))
    for place in (own, *own.parents):
        if any((place / name).exists() for name in _VERSION_CONTROL):
            return place
    return own


def _wrong(path: Path, problem: str, remedy: str) -> DescriptionError:
    return DescriptionError(problem, remedy=remedy, location=Location(Path(display(path))))
