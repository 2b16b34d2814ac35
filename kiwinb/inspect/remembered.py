"""List a tree and read its package database once, and remember them.

This takes only two requests to the tree, each of which may start a worker or decompress data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from kiwinb.inspect.links import resolver_of
from kiwinb.inspect.tree import Tree
from kiwinb.packages.databases import DATABASES, nominal

PASSWD = "/etc/passwd"
"""The file with the user names."""

_KEPT = re.compile("|".join(item.kept_in for item in DATABASES.values()))


class RememberedTree(Tree):
    """A remembered list and package database; other files are still read from the tree itself.

    Args:
        tree: The tree; :meth:`close` does not close it.
    """

    def __init__(self, tree: Tree) -> None:
        self.name = tree.name
        self.has_contents = tree.has_contents
        self._tree = tree
        self._table = tree.scan()
        self._types = dict(zip(self._table["path"], self._table["type"], strict=True))
        files = self._table.loc[self._table["type"].eq("file"), "path"]
        self._links = resolver_of(self._table)
        name, passwd = nominal(self), self.resolved(PASSWD)
        kept = [path for path in files if path == passwd or _KEPT.fullmatch(name(path))]
        self._contents = tree.read_many(kept) if tree.has_contents else {}

    def scan(self) -> pd.DataFrame:
        """List the tree; see :meth:`kiwinb.inspect.tree.Tree.scan`."""
        return self._table.copy(deep=False)

    def exists(self, path: str) -> bool:
        """Tell whether there is a file of any kind at the path."""
        return path in self._types

    def resolved(self, path: str) -> str:
        """Return where a path leads in the tree; see :meth:`kiwinb.inspect.tree.Tree.resolved`."""
        return self._links[path] or "/"

    def found(self, paths: Sequence[str]) -> Mapping[str, str]:
        """Return those paths that lead to files; see :meth:`kiwinb.inspect.tree.Tree.found`."""
        places = {path: self._links[path] for path in paths}
        return {path: place for path, place in places.items() if self._types.get(place) == "file"}

    def read(self, path: str, limit: int | None = None) -> bytes:
        """Read a file; see :meth:`kiwinb.inspect.tree.Tree.read`."""
        known = self._contents.get(path)
        if known is None:
            return self._tree.read(path, limit)
        return known if limit is None else known[:limit]

    def read_many(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """Read several files, by path."""
        missing = [path for path in paths if path not in self._contents]
        read = self._tree.read_many(missing) if missing else {}
        return {path: read[path] if path in read else self._contents[path] for path in paths}

    def digests(self, paths: Sequence[str]) -> Mapping[str, str]:
        """Compute the digests of several files, by path."""
        return self._tree.digests(paths)

    def close(self) -> None:
        """Do nothing."""


def remembered(tree: Tree) -> RememberedTree:
    """List a tree and read its package database, unless it is remembered already."""
    return tree if isinstance(tree, RememberedTree) else RememberedTree(tree)
