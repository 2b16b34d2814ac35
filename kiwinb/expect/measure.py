"""Measure trees, images and values for expectations."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import pandas as pd

from kiwinb.errors import InspectError
from kiwinb.expect.outcome import OPEN
from kiwinb.inspect.files import files
from kiwinb.inspect.links import resolver_of
from kiwinb.inspect.opening import Source, opened
from kiwinb.inspect.remembered import remembered
from kiwinb.inspect.tree import Tree
from kiwinb.packages.databases.database import Package
from kiwinb.sizes import binary, parse_size

Size: TypeAlias = int | str
"""A size in bytes, or text such as ``400 MiB``."""


_SHOWN = 3


@runtime_checkable
class HasPath(Protocol):
    """An object with a file, such as an ``Image``."""

    @property
    def path(self) -> Path:
        """The file."""
        ...


def bytes_of(size: Size | None) -> int | None:
    """Convert a bound to bytes.

    Raises:
        InspectError: The bound is not a size.
    """
    if size is None or isinstance(size, int):
        return size
    found = parse_size(size)
    if found is None:
        raise InspectError(f"{size!r} is not a size", remedy="Write it as in '400 MiB'.")
    return found


def exact(size: int) -> str:
    """Format a size in binary units, followed by the number of bytes."""
    return f"{binary(size)} ({size} bytes)" if size >= 1024 else f"{size} bytes"


def measure_size(source: Source | HasPath) -> tuple[str, int]:
    """Return the name of a source, and its size in bytes."""
    place = source.path if isinstance(source, HasPath) else source
    if isinstance(place, str | os.PathLike) and Path(place).is_file():
        return Path(place).name, Path(place).stat().st_size
    with opened_once(place) as tree:
        return tree.name, int(files(tree)["usage"].sum())


@contextmanager
def opened_once(source: Source) -> Iterator[Tree]:
    """Open the tree of a source; an enclosing ``all()`` keeps it open."""
    together = OPEN.get()
    if together is not None:
        yield together.tree(source)
    else:
        with opened(source) as tree:
            yield remembered(tree)


def find(tree: Tree, path: str, *, follow: bool) -> pd.Series | None:
    """Return the row of a path in the table of files; ``None`` if the path does not exist."""
    table = files(tree)
    directories = resolver_of(table)
    parent, _, name = path.rstrip("/").rpartition("/")
    at = directories[path] if follow else f"{directories[parent]}/{name}"
    found = table[table["path"].eq(at or "/")]
    return None if found.empty else found.iloc[0]


def contains_text(tree: Tree, row: pd.Series, contains: str | bytes) -> tuple[bool, str]:
    """Tell whether a file contains a text, and describe what it contains."""
    if row["type"] != "file":
        return False, f"a {row['type']}"
    wanted = contains.encode() if isinstance(contains, str) else contains
    content = tree.read(row["path"])
    if wanted in content:
        return True, "contains it"
    start = content[:60].decode("utf-8", "replace")
    return False, f"does not contain it: {len(content)} bytes, {start!r}…"


def listed_packages(found: Sequence[Package]) -> str:
    """Format the first few packages as one line of text, with the size of all."""
    return listed([item.label for item in found], sum(item.installed_size or 0 for item in found))


def listed(names: Sequence[str], size: int) -> str:
    """Format the first few names as one line of text, with the size of all."""
    if not names:
        return "none"
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return f"{len(names)} ({binary(size)}): {shown}"
