"""A root tree in the checkpoint store, opened to be looked into."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import pandas as pd

from kiwinb.checkpoints.store import Store
from kiwinb.errors import InspectError
from kiwinb.inspect.databases import DATABASES
from kiwinb.inspect.files import PASSWD
from kiwinb.inspect.formats.directory import DirectoryTree
from kiwinb.inspect.tree import Tree
from kiwinb.plan.keys import Digest
from kiwinb.sandbox.worker import Report

A = TypeVar("A")
R = TypeVar("R")


class CheckpointTree(Tree):
    """The tree of a checkpoint; it never changes, so it is listed once.

    Layers can only be put together, and files of other users only be read, in a worker. Starting
    one takes a while, so what package databases are read from comes along with the list.

    Args:
        store: The store.
        key: Key of the checkpoint.
        name: What it is, for headings.

    Raises:
        InspectError: The checkpoint is of a step that leaves no tree.
        StoreError: It is not there.
    """

    def __init__(self, store: Store, key: Digest, name: str = "") -> None:
        checkpoint = store.get(key)
        if checkpoint.output != "tree":
            raise InspectError(
                f"the checkpoint {key[:12]} ({checkpoint.name}) is no root tree",
                remedy="Name a step that leaves a tree.",
            )
        self.name = name or f"{checkpoint.name} {key[:12]}"
        self._store = store
        self._key = key

    @cached_property
    def _first(self) -> tuple[pd.DataFrame, Mapping[str, bytes]]:
        return self._call(_list, None)

    @cached_property
    def _kinds(self) -> Mapping[str, str]:
        table = self._first[0]
        return dict(zip(table["path"], table["type"], strict=True))

    def scan(self) -> pd.DataFrame:
        """All that is in it; see :meth:`kiwinb.inspect.tree.Tree.scan`."""
        return self._first[0].copy(deep=False)

    def exists(self, path: str) -> bool:
        """Whether there is anything at the path."""
        return path in self._kinds

    def read(self, path: str, limit: int | None = None) -> bytes:
        """What is in a file; see :meth:`kiwinb.inspect.tree.Tree.read`."""
        known = self._first[1].get(path)
        if known is not None:
            return known if limit is None else known[:limit]
        return self._call(_read, (path, limit))

    def read_many(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """What is in several files, by one worker."""
        known = self._first[1]
        missing = [path for path in paths if path not in known]
        read = self._call(_read_many, missing) if missing else {}
        return {path: known[path] if path in known else read[path] for path in paths}

    def digests(self, paths: Sequence[str]) -> Mapping[str, str]:
        """Digests of several files, by one worker."""
        return self._call(_digests, list(paths)) if paths else {}

    def _call(self, function: Callable[[Path, A, Report], R], argument: A) -> R:
        return self._store.in_tree(self._key, function, argument)


def _list(root: Path, _: None, report: Report) -> tuple[pd.DataFrame, Mapping[str, bytes]]:
    tree = DirectoryTree(root)
    table = tree.scan()
    wanted = re.compile(
        "|".join((re.escape(PASSWD), *(item.kept_in for item in DATABASES.values())))
    )
    files = table.loc[table["type"].eq("file"), "path"]
    return table, tree.read_many([path for path in files if wanted.fullmatch(path)])


def _read(root: Path, argument: tuple[str, int | None], report: Report) -> bytes:
    return DirectoryTree(root).read(*argument)


def _read_many(root: Path, paths: list[str], report: Report) -> Mapping[str, bytes]:
    return DirectoryTree(root).read_many(paths)


def _digests(root: Path, paths: list[str], report: Report) -> Mapping[str, str]:
    return DirectoryTree(root).digests(paths)
