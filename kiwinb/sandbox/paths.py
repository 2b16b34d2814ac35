"""Resolve paths inside a root tree."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kiwinb.errors import KiwinbError

_MAXIMUM_LINKS = 40  # as in path_resolution(7)


def resolve_in(root: Path, path: str | os.PathLike[str], *, follow_last: bool = True) -> Path:
    """Return the path on the host for a path in a root tree, as if ``root`` were ``/``.

    Symbolic links are followed inside the tree: absolute ones start at ``root``, and ``..`` never
    leaves it. Parts that do not exist are kept.

    Args:
        root: The root tree.
        path: Path in the tree, with or without a leading slash.
        follow_last: Whether to follow a symbolic link at the path itself.

    Raises:
        KiwinbError: There are too many symbolic links, usually because of a loop.
    """
    parts = _split(os.fspath(path))
    at = [os.fspath(root)]  # the way so far: the directory of the host at each step
    links = 0
    while parts:
        part = parts.pop()
        if part == "..":
            del at[max(1, len(at) - 1) :]
            continue
        here = f"{at[-1]}/{part}"
        target = _target(here) if parts or follow_last else None
        if target is None:
            at.append(here)
            continue
        links += 1
        if links > _MAXIMUM_LINKS:
            raise KiwinbError(
                f"too many symbolic links in the root tree: {os.fspath(path)}",
                remedy="A link that points back to itself is the usual cause.",
            )
        if target.startswith("/"):
            del at[1:]
        parts += _split(target)
    return Path(at[-1])


def _target(path: str) -> str | None:
    """Return the target of a symbolic link; ``None`` for other files, and where nothing is."""
    try:
        return os.readlink(path)  # noqa: PTH115  # a Path for each part of each path takes long
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR):
            return None
        raise


@contextmanager
def anchored(directory: Path) -> Iterator[Path]:
    """Yield a path of a directory that stays this directory, whatever programs put in its place.

    Whoever remembers a path in a tree while programs of the tree run, and uses it afterwards, may
    be led to the host by a link that has replaced a part of the path.

    Raises:
        OSError: It is no directory.
    """
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(directory, flags)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def inner_path(root: Path, place: Path) -> str:
    """Return the path in a root tree of a path that :func:`resolve_in` returned."""
    return "/" + "/".join(place.relative_to(root).parts)


def _split(path: str) -> list[str]:
    """Return the parts of a path in reverse order."""
    return [part for part in path.split("/") if part not in ("", ".")][::-1]
