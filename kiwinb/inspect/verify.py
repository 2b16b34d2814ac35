"""Compare the files of a tree with what its package database states about them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kiwinb.inspect.database import packages_of
from kiwinb.inspect.links import resolver_of
from kiwinb.inspect.remembered import remembered
from kiwinb.inspect.table import Table
from kiwinb.inspect.tree import PLAIN_DIGEST, Tree
from kiwinb.packages.databases.database import StatedFile

COLUMNS = ("path", "package", "what", "config")
"""Columns of :func:`verify`."""

MISSING = "missing"
_TOGETHER = 1 << 26
"""Bytes of files that are read together."""

_CUT = "sha256-160"


@dataclass(frozen=True)
class _Path:
    """A path in the tree."""

    type: str
    size: int
    mode: int
    target: str


def verify(tree: Tree) -> pd.DataFrame:
    """List the paths of packages that are not as the package database states.

    Columns: ``path`` (as the package names it), ``package``, ``what`` (``missing``, or which of
    ``type``, ``content``, ``target`` and ``mode`` differ, separated by commas) and ``config``
    (whether it is a configuration file, which people change). Databases state different things:
    that of dpkg only has digests. What they state about owners and times is not compared.

    Raises:
        InspectError: The tree or its package database cannot be read, or it has none.
    """
    tree = remembered(tree)
    installed = packages_of(tree)
    table = tree.scan()
    links = resolver_of(table)
    columns = (table[name] for name in ("path", "type", "size", "mode", "target"))
    there = {path: _Path(*facts) for path, *facts in zip(*columns, strict=True)}
    stated = [
        (label, file, _place(file.path, links))
        for label, files in installed.database.stated(tree, installed.packages)
        for file in files
    ]
    contents = _changed(tree, there, [(file, place) for _label, file, place in stated])
    rows = []
    for (label, file, place), changed in zip(stated, contents, strict=True):
        found = there.get(place)
        if found is None and file.optional:
            continue
        what = _what(file, found, there.get(links[place] or "/"), changed)
        if what:
            rows.append((file.path, label, what, file.config))
    rows.sort()
    return Table(rows, columns=list(COLUMNS)).astype({"config": bool})


def _place(path: str, links: Mapping[str, str]) -> str:
    """Return where a path is, which may be below a symbolic link."""
    directory, _, name = path.rpartition("/")
    return f"{links[directory]}/{name}"


def _what(file: StatedFile, found: _Path | None, behind: _Path | None, changed: bool) -> str:
    if found is None:
        return MISSING
    if file.kind == "directory" and found.type == "symlink":
        # A directory that was moved; what it is now is not the package's.
        return "" if behind is not None and behind.type == "directory" else "type"
    what = {
        "type": file.kind not in (None, found.type),
        "content": changed,
        "target": file.target not in (None, found.target) and found.type == "symlink",
        "mode": file.mode not in (None, found.mode) and found.type != "symlink",
    }
    return ", ".join(word for word, differs in what.items() if differs)


def _changed(
    tree: Tree, there: Mapping[str, _Path], files: Sequence[tuple[StatedFile, str]]
) -> list[bool]:
    """Tell for each path whether its content differs from what is stated."""
    changed = [False] * len(files)
    doubtful: dict[str, dict[int, str]] = {}
    for number, (file, place) in enumerate(files):
        found = there.get(place)
        if found is None or file.kind not in (None, found.type):
            continue
        if found.type == "file" and file.size not in (None, found.size):
            changed[number] = True
        elif file.digest is not None and found.type in ("file", "symlink"):
            doubtful.setdefault(place, {})[number] = file.digest
    for place, digests in _digests(tree, there, doubtful):
        for number, digest in doubtful[place].items():
            algorithm, _, wanted = digest.partition(":")
            changed[number] = digests[algorithm] != wanted
    return changed


def _digests(
    tree: Tree, there: Mapping[str, _Path], wanted: Mapping[str, Mapping[int, str]]
) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield the paths, each with its digests by algorithm."""
    words = {path: {text.partition(":")[0] for text in wanted[path].values()} for path in wanted}
    plain = [
        path
        for path, algorithms in words.items()
        if there[path].type == "file"
        and algorithms == {"sha256"}
        and there[path].size <= PLAIN_DIGEST
    ]
    for path, digest in tree.digests(plain).items():
        yield path, {"sha256": digest}
    done = set(plain)
    for path in words:
        if there[path].type == "symlink":
            done.add(path)
            target = there[path].target.encode("utf-8", "surrogateescape")
            yield path, {word: _digest(word, target) for word in words[path]}
    for batch in _batches((path, there[path].size) for path in words if path not in done):
        for path, content in tree.read_many(batch).items():
            yield path, {word: _digest(word, content) for word in words[path]}


def _digest(algorithm: str, content: bytes) -> str:
    if algorithm == _CUT:
        return hashlib.sha256(content).hexdigest()[:40]
    hasher: Any = hashlib.new(algorithm, content, usedforsecurity=False)
    return str(hasher.hexdigest())


def _batches(sizes: Iterable[tuple[str, int]]) -> Iterator[list[str]]:
    """Yield paths together whose files are not too large together."""
    batch: list[str] = []
    total = 0
    for path, size in sizes:
        if batch and total + size > _TOGETHER:
            yield batch
            batch, total = [], 0
        batch.append(path)
        total += size
    if batch:
        yield batch
