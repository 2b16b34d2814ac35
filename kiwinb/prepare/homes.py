"""Give home directories to their users."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kiwinb.sandbox.paths import resolve_in
from kiwinb.sandbox.tree_files import read_text_in

_TOP = "bin boot dev etc home lib lib32 lib64 libx32 media mnt nonexistent opt proc root run sbin"
_USR = "bin games include lib lib32 lib64 libexec libx32 local sbin share src"
_VAR = "cache empty lib lock log mail opt run spool tmp"
_SYSTEM = frozenset(
    (
        "/",
        *(f"/{name}" for name in (*_TOP.split(), "srv", "sys", "tmp", "usr", "var")),
        *(f"/usr/{name}" for name in _USR.split()),
        *(f"/var/{name}" for name in _VAR.split()),
    )
)
"""Directories that belong to the system, even if they are named as the home of a user."""

_CAPABILITY = "security.capability"


@dataclass(frozen=True)
class _Home:
    path: PurePosixPath
    uid: int
    gid: int


def give_homes(root: Path, users: Collection[str], log: Callable[[str], None]) -> None:
    """Make users and their login groups the owners of their home directories, recursively.

    Symbolic links are not followed, and modes, capabilities and times stay as they are. A home
    inside another home goes to its own user. Directories of the system, such as ``/`` and ``/usr``,
    stay as they are.

    Args:
        root: The tree.
        users: Names of the users, who are in the tree's ``/etc/passwd``.
        log: Called with a line for each home directory.
    """
    found = list(_homes(root, users))
    for home in sorted(
        found, key=lambda item: len(item.path.parts)
    ):  # a home in a home comes later
        place = root / home.path.relative_to("/")
        if str(home.path) in _SYSTEM:
            log(f"{home.path} belongs to the system and is not given to user {home.uid}")
        elif place.is_dir():
            log(f"giving {home.path} to user {home.uid}")
            for path in _below(place):
                _give(path, home.uid, home.gid)


def _homes(root: Path, users: Collection[str]) -> Iterator[_Home]:
    for line in read_text_in(root, "/etc/passwd").splitlines():
        fields = line.split(":")
        if len(fields) == 7 and fields[0] in users and fields[5].startswith("/"):
            place = resolve_in(root, fields[5]).relative_to(root)
            yield _Home(PurePosixPath("/", place), int(fields[2]), int(fields[3]))


def _below(directory: Path) -> Iterator[Path]:
    yield directory
    for parent, directories, files in os.walk(directory):
        yield from (Path(parent, name) for name in (*directories, *files))


def _give(path: Path, uid: int, gid: int) -> None:
    """Change the owner; the kernel then drops set-id bits and capabilities, so set them again."""
    status = path.lstat()
    if (status.st_uid, status.st_gid) == (uid, gid):
        return
    capability = None
    with suppress(OSError):
        capability = os.getxattr(path, _CAPABILITY, follow_symlinks=False)
    os.chown(path, uid, gid, follow_symlinks=False)
    if not path.is_symlink():
        path.chmod(status.st_mode & 0o7777)
    if capability is not None:
        os.setxattr(path, _CAPABILITY, capability, follow_symlinks=False)
