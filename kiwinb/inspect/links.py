"""Follow symbolic links in a tree, which they never leave."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

_MAXIMUM_LINKS = 40  # as in path_resolution(7)


def resolver(links: Mapping[str, str]) -> Mapping[str, str]:
    """Return a mapping from paths to their paths without symbolic links; the root is empty.

    Args:
        links: Target of each symbolic link in the tree, by path.
    """
    return _Resolved(links)


def resolver_of(table: pd.DataFrame) -> Mapping[str, str]:
    """Return the :func:`resolver` of a tree.

    Args:
        table: All rows of the tree, with the columns ``path``, ``type`` and ``target``.
    """
    links = table[table["type"].eq("symlink")]
    return resolver(dict(zip(links["path"], links["target"], strict=True)))


class _Resolved(dict[str, str]):
    """Resolved paths; each is resolved when it is first needed."""

    def __init__(self, links: Mapping[str, str]) -> None:
        super().__init__({"": "", "/": ""})
        self._links = links

    def __missing__(self, path: str) -> str:
        at: list[str] = []
        parts = path.split("/")[::-1]
        followed = 0
        while parts:
            part = parts.pop()
            if part in ("", "."):
                continue
            if part == "..":
                del at[-1:]
                continue
            here = "/".join(("", *at, part))
            target = self._links.get(here)
            if target is None or followed > _MAXIMUM_LINKS:
                at.append(part)
                continue
            followed += 1
            if target.startswith("/"):
                at.clear()
            parts += target.split("/")[::-1]
        self[path] = "".join(f"/{part}" for part in at)
        return self[path]
