"""Read trees in the checkpoint store through a worker, with owners as seen inside the tree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd

from kiwinb.checkpoints.store import Store
from kiwinb.inspect.formats.directory import DirectoryTree
from kiwinb.inspect.tree import KINDS, MOST_IN_MEMORY, NUMBERS, Tree, table
from kiwinb.sandbox.privilege import Privilege
from kiwinb.sandbox.worker import Report, call, nonsense
from kiwinb.steps.keys import Digest
from kiwinb.typed_json import return_type

R = TypeVar("R")

_MOST = MOST_IN_MEMORY + (1 << 20)
"""Largest number of bytes of what a worker returns."""


@dataclass(frozen=True)
class Columns:
    """The table of :meth:`Tree.scan` as data.

    Attributes:
        paths: The column ``path``.
        types: For each value of the column ``type``, its place in :data:`KINDS`, as a byte.
        numbers: The columns of :data:`NUMBERS`, one after the other, as int64.
        targets: The targets, by the number of the row; the others are empty.
    """

    paths: tuple[str, ...]
    types: bytes
    numbers: bytes
    targets: tuple[tuple[int, str], ...]

    def table(self) -> pd.DataFrame:
        """Return the table.

        Raises:
            HostError: The columns do not fit together.
        """
        count = len(self.paths)
        types = np.frombuffer(self.types, np.int8)
        target = [""] * count
        for row, text in self.targets:
            if not 0 <= row < count:
                raise nonsense(f"a table has no row {row}")
            target[row] = text
        if len(types) != count or len(self.numbers) != 8 * count * len(NUMBERS):
            raise nonsense("columns of different lengths")
        if np.any((types < 0) | (types >= len(KINDS))):
            raise nonsense("a table with unknown types")
        numbers = np.frombuffer(self.numbers, np.int64).reshape(len(NUMBERS), count)
        return table(
            {
                "path": self.paths,
                "type": np.asarray(KINDS, object)[types],
                **{name: numbers[at] for at, name in enumerate(NUMBERS)},
                "target": target,
            },
            complete=True,
        )


def scan_columns(tree: DirectoryTree) -> Columns:
    """List a tree."""
    found = tree.scan()
    targets = enumerate(found["target"].tolist())
    return Columns(
        tuple(found["path"].tolist()),
        found["type"].cat.codes.to_numpy(np.int8).tobytes(),
        b"".join(found[name].to_numpy(np.int64).tobytes() for name in NUMBERS),
        tuple((row, text) for row, text in targets if text),
    )


@dataclass(frozen=True)
class _Call:
    """A call of a method of :class:`DirectoryTree`, or of a function that takes one."""

    name: str
    method: Callable[..., Any]
    arguments: tuple[Any, ...]


class _WorkerTree(Tree):
    """A tree of which only a worker sees the real owners."""

    def _ask(self, method: Callable[..., R], *arguments: Any) -> R:
        raise NotImplementedError

    def scan(self) -> pd.DataFrame:
        """List the tree; see :meth:`kiwinb.inspect.tree.Tree.scan`."""
        return self._ask(scan_columns).table()

    def read(self, path: str, limit: int | None = None) -> bytes:
        """Read a file; see :meth:`kiwinb.inspect.tree.Tree.read`."""
        return self._ask(DirectoryTree.read, path, limit)

    def exists(self, path: str) -> bool:
        """Tell whether there is a file of any kind at the path."""
        return self._ask(DirectoryTree.exists, path)

    def resolved(self, path: str) -> str:
        """Return where a path leads in the tree; see :meth:`kiwinb.inspect.tree.Tree.resolved`."""
        return self._ask(DirectoryTree.resolved, path)

    def found(self, paths: Sequence[str]) -> Mapping[str, str]:
        """Return those paths that lead to files; see :meth:`kiwinb.inspect.tree.Tree.found`."""
        return self._ask(DirectoryTree.found, tuple(paths))

    def below(self, directory: str) -> Sequence[str]:
        """List the paths below a directory; see :meth:`kiwinb.inspect.tree.Tree.below`."""
        return self._ask(DirectoryTree.below, directory)

    def read_many(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """Read several files, by path, with one worker."""
        return self._ask(DirectoryTree.read_many, tuple(paths))

    def digests(self, paths: Sequence[str]) -> Mapping[str, str]:
        """Compute the digests of several files, by path, with one worker."""
        return self._ask(DirectoryTree.digests, tuple(paths))


class CheckpointTree(_WorkerTree):
    """A tree in the checkpoint store; it cannot change, so it is listed only once.

    Args:
        store: The store.
        key: Key of the tree.
        name: Name in messages; by default, it is made from the beginning of the key.
    """

    def __init__(self, store: Store, key: Digest, name: str = "") -> None:
        self.store = store
        self.key = key
        self.name = name or f"checkpoint {key[:12]}"

    @cached_property
    def _table(self) -> pd.DataFrame:
        return super().scan()

    @cached_property
    def _paths(self) -> frozenset[str]:
        return frozenset(self._table["path"])

    def scan(self) -> pd.DataFrame:
        """List the tree; see :meth:`kiwinb.inspect.tree.Tree.scan`."""
        return self._table.copy(deep=False)

    def exists(self, path: str) -> bool:
        """Tell whether there is a file of any kind at the path."""
        return path in self._paths

    def _ask(self, method: Callable[..., R], *arguments: Any) -> R:
        request = _Call(self.name, method, arguments)
        kind = return_type(method)
        return cast(R, self.store.in_tree(self.key, _in_tree, request, returns=kind, most=_MOST))


class OwnedDirectoryTree(_WorkerTree):
    """A directory whose files belong to the user's subordinate IDs, with owners as seen inside.

    Args:
        path: The directory.
        privilege: How a worker becomes root in its user namespace.
    """

    def __init__(self, path: Path, privilege: Privilege) -> None:
        self.path = path.absolute()
        self.privilege = privilege
        self.name = str(path)

    def _ask(self, method: Callable[..., R], *arguments: Any) -> R:
        job = (self.path, _Call(self.name, method, arguments))
        kind = return_type(method)
        return cast(R, call(_in_directory, job, privilege=self.privilege, returns=kind, most=_MOST))


def _in_tree(root: Path, request: _Call, _report: Report) -> object:
    return request.method(DirectoryTree(root, request.name), *request.arguments)


def _in_directory(job: tuple[Path, _Call], report: Report) -> object:
    return _in_tree(*job, report)
