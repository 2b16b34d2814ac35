"""An index of the files of a tree, with the content and the size of each directory."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

Sort = Literal["name", "usage", "entries", "owner", "package", "mtime"]
Integers = np.ndarray[Any, np.dtype[np.int64]]

_FIELDS = ("package", "owner", "type")


@dataclass(frozen=True)
class TreeIndex:
    """An index of a table of files, whose rows are identified by number.

    Attributes:
        files: Table from :func:`kiwinb.inspect.files.files`, sorted by path and including ``/``.
    """

    files: pd.DataFrame

    @cached_property
    def paths(self) -> list[str]:
        """The path of each row."""
        return self.files["path"].tolist()

    def name(self, row: int) -> str:
        """Return the last part of the path of a row."""
        return self.paths[row].rpartition("/")[2] or "/"

    @cached_property
    def parents(self) -> Integers:
        """The row of the parent directory of each row; for ``/``, its own row."""
        rows = {path: row for row, path in enumerate(self.paths)}
        rows[""] = 0
        found = [rows[path.rpartition("/")[0]] for path in self.paths]
        return np.array(found, np.int64)

    @cached_property
    def usage(self) -> Integers:
        """Disk usage of each row and everything below it in bytes, counting hard links once."""
        return self._summed(self.files["usage"].to_numpy(np.int64))

    @cached_property
    def entries(self) -> Integers:
        """Number of rows below each row."""
        return self._summed(np.ones(len(self.files), np.int64)) - 1

    @cached_property
    def directory(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether each row is a directory."""
        return self.files["type"].eq("directory").to_numpy()

    @cached_property
    def depth(self) -> Integers:
        """Number of parent directories of each row."""
        depth = np.array([path.count("/") for path in self.paths], np.int64)
        depth[0] = 0  # the root, which ends in its only slash
        return depth

    def row(self, path: str) -> int:
        """Return the row of a path.

        Raises:
            KeyError: There is no such path.
        """
        found = int(np.searchsorted(self._path_array, path))
        if found == len(self.paths) or self.paths[found] != path:
            raise KeyError(path)
        return found

    def children(self, row: int) -> Integers:
        """Return the rows of the entries of a directory, sorted by name."""
        order, starts = self._by_parent
        found: Integers = order[starts[row] : starts[row + 1]]
        return found

    def find(self, text: str) -> Integers:
        """Return the rows that match all words of a filter.

        A word matches a part of a path, or the whole path or name if it has ``*`` or ``?``. Case is
        ignored. ``package:NAME``, ``owner:NAME`` and ``type:KIND`` match the values of these
        columns.
        """
        holds = np.ones(len(self.files), np.bool_)
        for word in text.split():
            field, _, value = word.partition(":")
            if value and field in _FIELDS:
                holds &= self.files[field].astype(str).eq(value).to_numpy()
                continue
            wanted = word.lower()
            if "*" in wanted or "?" in wanted:
                candidates = self._lower
                if "/" not in wanted:
                    candidates = [path.rpartition("/")[2] for path in self._lower]
                matched = set(fnmatch.filter(set(candidates), wanted))
                found = (path in matched for path in candidates)
            else:
                found = (wanted in path for path in self._lower)
            holds &= np.fromiter(found, np.bool_, len(holds))
        return np.flatnonzero(holds)

    def sorted(self, rows: Integers, by: Sort, *, descending: bool) -> Integers:
        """Return rows in another order."""
        if by == "name":
            order = np.argsort(np.array([self.name(row) for row in rows], object), kind="stable")
        elif by == "usage":
            order = np.argsort(-self.usage[rows] if descending else self.usage[rows], kind="stable")
            return rows[order]
        elif by == "entries":
            order = np.argsort(self.entries[rows], kind="stable")
        else:
            order = np.argsort(self.files[by].to_numpy()[rows], kind="stable")
        found: Integers = rows[order[::-1] if descending else order]
        return found

    @cached_property
    def _lower(self) -> list[str]:
        return [path.lower() for path in self.paths]

    @cached_property
    def _path_array(self) -> np.ndarray[Any, np.dtype[np.object_]]:
        return np.array(self.paths, object)

    @cached_property
    def _by_parent(self) -> tuple[Integers, Integers]:
        inside = np.arange(1, len(self.files))
        order = inside[np.argsort(self.parents[1:], kind="stable")]
        starts = np.searchsorted(self.parents[order], np.arange(len(self.files) + 1))
        return order, starts

    def _summed(self, own: Integers) -> Integers:
        total = own.copy()
        by_depth = np.argsort(-self.depth, kind="stable")
        borders = np.flatnonzero(np.diff(self.depth[by_depth])) + 1
        for rows in np.split(by_depth, borders):
            if self.depth[rows[0]]:
                np.add.at(total, self.parents[rows], total[rows])
        return total
