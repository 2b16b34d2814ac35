"""Nested groups of sizes, down to single files."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from kiwinb.errors import InspectError
from kiwinb.inspect.breakdown import By, group_keys
from kiwinb.inspect.tree import Tree
from kiwinb.visible import visible

LEVELS: Mapping[str, tuple[By, ...]] = {
    "directory": (),
    "package": ("package",),
    "section": ("section", "package"),
    "type": ("type",),
    "extension": ("extension",),
}
"""Criteria of the top levels of each grouping; further levels are directories."""

Rows = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Group:
    """A group of paths.

    Attributes:
        key: Key that is unique on its level.
        label: Name for display.
        usage: Disk usage in bytes.
        files: Number of paths other than directories.
        leaf: Whether there are no groups inside it.
    """

    key: str
    label: str
    usage: int
    files: int
    leaf: bool


class Sizes:
    """The sizes in a tree in nested groups.

    Args:
        tree: The tree.
        table: Its table from :func:`~kiwinb.inspect.files.files`.
    """

    def __init__(self, tree: Tree, table: pd.DataFrame) -> None:
        self._tree = tree
        self._table = table
        self._paths = np.empty(len(table), object)
        self._paths[:] = [visible(path) for path in table["path"]]
        self._usage = table["usage"].to_numpy(np.int64)
        self._directory = table["type"].eq("directory").to_numpy()
        self._keys: dict[By, np.ndarray[Any, np.dtype[np.object_]]] = {}
        self._rows = lru_cache(maxsize=256)(self._select)

    def groups(self, by: str, at: Sequence[str] = ()) -> tuple[Group, ...]:
        """Return the groups inside a group, the largest first.

        Args:
            by: One of :data:`LEVELS`.
            at: Keys of the groups from the top level to the group; empty for the top level.

        Raises:
            InspectError: ``by`` is unknown, or there is no such group.
        """
        if by not in LEVELS:
            raise InspectError(
                f"sizes cannot be grouped by {by!r}", remedy=f"Choose: {', '.join(LEVELS)}."
            )
        rows = self._rows(by, tuple(at))
        if not len(rows):
            raise InspectError(f"there is nothing in {' / '.join(at)}")
        keys = self._level(by, tuple(at), rows)
        codes, names = pd.factorize(keys)
        count = len(names)
        usage = np.bincount(codes, self._usage[rows], count).astype(np.int64)
        plain = np.bincount(codes, ~self._directory[rows], count).astype(np.int64)
        lone = np.bincount(codes, minlength=count) == 1
        by_directory = len(at) >= len(LEVELS[by])
        here = self._prefix(by, tuple(at)) if by_directory else ""
        found = []
        for number in np.lexsort((np.arange(count), -usage)):
            key = str(names[number])
            label = key
            if by_directory:
                label = "(the directory itself)" if key == here else key[len(here) :].strip("/")
            leaf = by_directory and bool(lone[number])
            found.append(Group(key, label, int(usage[number]), int(plain[number]), leaf))
        return tuple(found)

    def _select(self, by: str, at: tuple[str, ...]) -> Rows:
        """Return the rows of the table that are in a group."""
        if not at:
            return np.arange(len(self._paths))
        rows = self._rows(by, at[:-1])
        keys = self._level(by, at[:-1], rows)
        found: Rows = rows[keys == at[-1]]
        return found

    def _level(
        self, by: str, at: tuple[str, ...], rows: Rows
    ) -> np.ndarray[Any, np.dtype[np.object_]]:
        """Return the group of each row, on the level below a group."""
        fields = LEVELS[by]
        if len(at) < len(fields):
            return self._keys_of(fields[len(at)])[rows]
        prefix = self._start(by, at, rows)
        start = len(prefix) + 1 if prefix != "/" else 1

        def child(path: str) -> str:
            end = path.find("/", start)
            return path if end < 0 else path[:end]

        keys = np.empty(len(rows), object)
        keys[:] = [child(path) for path in self._paths[rows]]
        return keys

    def _start(self, by: str, at: tuple[str, ...], rows: Rows) -> str:
        """Return the deepest directory that holds all rows, whose entries become groups."""
        prefix = self._prefix(by, at)
        if not len(rows):
            return prefix
        first, last = (self._paths[row].rpartition("/")[0] or "/" for row in (rows[0], rows[-1]))
        common = posixpath.commonpath((first, last))
        return common if len(common) > len(prefix) else prefix

    def _prefix(self, by: str, at: tuple[str, ...]) -> str:
        return at[-1] if len(at) > len(LEVELS[by]) else "/"

    def _keys_of(self, by: By) -> np.ndarray[Any, np.dtype[np.object_]]:
        if by not in self._keys:
            keys = group_keys(self._tree, self._table, by)
            self._keys[by] = keys.astype(str).map(visible).to_numpy(object)
        return self._keys[by]
