"""Resolve paths inside a root tree."""

from __future__ import annotations

import os
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
    at: list[str] = []
    links = 0
    while parts:
        part = parts.pop()
        if part == "..":
            del at[-1:]
            continue
        here = Path(root, *at, part)
        if (parts or follow_last) and here.is_symlink():
            links += 1
            if links > _MAXIMUM_LINKS:
                raise KiwinbError(
                    f"too many symbolic links in the root tree: {os.fspath(path)}",
                    remedy="A link that points back to itself is the usual cause.",
                )
            target = os.fspath(here.readlink())
            if target.startswith("/"):
                at.clear()
            parts += _split(target)
        else:
            at.append(part)
    return Path(root, *at)


def inner_path(root: Path, place: Path) -> str:
    """Return the path in a root tree of a path that :func:`resolve_in` returned."""
    return "/" + "/".join(place.relative_to(root).parts)


def _split(path: str) -> list[str]:
    """Return the parts of a path in reverse order."""
    return [part for part in path.split("/") if part not in ("", ".")][::-1]
