"""Paths as they are seen inside a root tree."""

from __future__ import annotations

import os
from pathlib import Path

from kiwinb.errors import KiwinbError

_MAXIMUM_LINKS = 40  # as in path_resolution(7)


def resolve_in(root: Path, path: str | os.PathLike[str], *, follow_last: bool = True) -> Path:
    """Where a path of a root tree is on the host, as if ``root`` were ``/``.

    Symbolic links are followed inside of the tree: an absolute one starts at ``root``, and
    ``..`` never leaves it. Parts that do not exist are kept as they are.

    Args:
        root: The root tree.
        path: Path inside of it, with or without a leading slash.
        follow_last: Follow a symbolic link that the last part is, too.

    Raises:
        KiwinbError: Symbolic links go round in a circle.
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


def _split(path: str) -> list[str]:
    """The parts of a path, the first one last."""
    return [part for part in path.split("/") if part not in ("", ".")][::-1]
