"""Sum up the bytes of a tree by partition, directory, package, section, type or extension."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import zstandard

from kiwinb.errors import InspectError
from kiwinb.inspect.database import installed_in
from kiwinb.inspect.files import files
from kiwinb.inspect.kinds import extensions, kinds
from kiwinb.inspect.opening import Source, opened
from kiwinb.inspect.remembered import remembered
from kiwinb.inspect.table import Table
from kiwinb.inspect.tree import MOST_IN_MEMORY, Tree

By = Literal["partition", "directory", "package", "section", "type", "extension"]

BY: tuple[By, ...] = ("partition", "directory", "package", "section", "type", "extension")
"""Criteria by which bytes can be grouped."""

COLUMNS = ("group", "files", "size", "usage", "compressed", "share")
"""Columns of :func:`breakdown`."""

UNOWNED = "(no package)"
NO_PARTITION = "(no partition)"
LEVEL = 3
"""Compression level of zstd for the column ``compressed``."""

_PIECE = 64 << 20


@runtime_checkable
class HasParts(Protocol):
    """A tree that consists of partitions."""

    def parts(self) -> pd.DataFrame:
        """List the partitions and all other parts of the disk."""
        ...


def parts(tree: Tree) -> pd.DataFrame:
    """List all parts of a disk: its partitions, the space between them, and the partition table.

    The columns are those of :meth:`kiwinb.inspect.formats.disk.DiskTree.parts`.

    Raises:
        InspectError: The tree is not a disk with partitions.
    """
    if isinstance(tree, HasParts):
        return tree.parts()
    raise InspectError(f"{tree.name} has no partitions", remedy="Give a disk image.")


def breakdown(
    source: Source, by: By = "directory", *, depth: int = 1, compressed: bool = False
) -> pd.DataFrame:
    """Sum up the bytes of a tree by group, the largest group first.

    Columns: ``group``; ``files`` (number of paths other than directories); ``size`` (bytes in
    files, counting hard links once); ``usage`` (allocated bytes, as ``du`` counts them);
    ``compressed`` (measured size in bytes of the files of a group after zstd compressed them as one
    stream, in the order of their paths, with at most 1 GiB of each; NaN unless requested);
    ``share`` (share of the total ``usage``, 0 to 1).

    Args:
        source: The tree or image.
        by: ``partition`` (which holds a file; :func:`parts` lists all bytes of a disk),
            ``directory``, ``package``, ``section`` (of packages), ``type`` (purpose of files, by
            path) or ``extension``.
        depth: Number of parts of a directory's path that form a group, such as 2 for
            ``/usr/share``.
        compressed: Whether to read and compress all files.

    Raises:
        InspectError: The source cannot be read, or ``by`` is unknown; or ``by`` is ``package`` or
            ``section``, and the package database cannot be read.
    """
    with opened(source) as tree:
        view = remembered(tree)
        table = files(view)
        keys = group_keys(tree if by == "partition" else view, table, by, depth=depth)
        summed = sum_up(table, keys)
        if compressed:
            measured = _compressed(tree, table, keys)
            summed["compressed"] = summed["group"].map(measured).fillna(0).astype("int64")
        return summed


def group_keys(tree: Tree, table: pd.DataFrame, by: By, *, depth: int = 1) -> pd.Series:
    """Return the group of each row of a table from :func:`~kiwinb.inspect.files.files`.

    Args:
        tree: The tree of the table.
        table: All rows of the table, or some of them.
        by: As for :func:`breakdown`.
        depth: As for :func:`breakdown`.

    Raises:
        InspectError: As for :func:`breakdown`.
    """
    if by == "directory":
        return directories(table, depth)
    if by == "package":
        installed_in(tree)  # or else the column would be empty
        return table["package"].where(table["package"].ne(""), UNOWNED)
    if by == "section":
        found = installed_in(tree)
        packages = found.packages if found else ()
        sections = {item.label: item.section or "(no section)" for item in packages}
        return table["package"].map(lambda name: sections.get(name, UNOWNED)).astype(object)
    if by == "type":
        return kinds(table)
    if by == "extension":
        return extensions(table)
    if by == "partition":
        return _partitions(tree, table)
    raise InspectError(f"bytes cannot be grouped by {by!r}", remedy=f"Choose: {', '.join(BY)}.")


def _partitions(tree: Tree, table: pd.DataFrame) -> pd.Series:
    """Return the partition of each row, from the innermost mount point that holds it."""
    found = pd.Series(NO_PARTITION, index=table.index, dtype=object)
    if not isinstance(tree, HasParts):
        return found
    stretches = tree.parts()
    mounted = stretches[stretches["mountpoint"].str.startswith("/")]
    for row in mounted.sort_values("mountpoint", key=lambda points: points.str.len()).itertuples():
        point = str(row.mountpoint).rstrip("/")
        inside = table["path"].str.startswith(f"{point}/") | table["path"].eq(point)
        found[inside] = f"{row.number} {row.role} {row.mountpoint}"
    return found


def directories(table: pd.DataFrame, depth: int = 1, under: str = "/") -> pd.Series:
    """Return the first parts of the directory that holds each row.

    Args:
        table: Table with the columns ``path`` and ``type``.
        depth: Number of parts to keep, in addition to those of ``under``.
        under: A directory that holds all paths of the table.
    """
    parts = depth + (under.count("/") if under != "/" else 0)
    cut: dict[str, str] = {}

    def group(path: str) -> str:
        found = cut.get(path)
        if found is None:
            found = cut[path] = "/".join(path.split("/", parts + 1)[: parts + 1]) or "/"
        return found

    return pd.Series(
        [
            group(path if is_directory else path.rpartition("/")[0])
            for path, is_directory in zip(
                table["path"], table["type"].eq("directory").tolist(), strict=True
            )
        ],
        index=table.index,
        dtype=object,
    )


def sum_up(table: pd.DataFrame, keys: pd.Series) -> pd.DataFrame:
    """Sum up rows by group; see :func:`breakdown` for the columns.

    Args:
        table: Table with the columns ``type``, ``size``, ``inode`` and ``usage``.
        keys: The group of each row.
    """
    summed = (
        Table(
            {
                "group": keys,
                "files": table["type"].ne("directory").astype("int64"),
                "size": table["size"].where(~table["inode"].duplicated(), 0),
                "usage": table["usage"],
            }
        )
        .groupby("group", sort=True, observed=True)
        .sum()
        .sort_values("usage", ascending=False, kind="stable")
        .reset_index()
    )
    total = summed["usage"].sum()
    return summed.assign(compressed=np.nan, share=summed["usage"] / total if total else 0.0)[
        list(COLUMNS)
    ]


def _compressed(tree: Tree, table: pd.DataFrame, keys: pd.Series) -> dict[str, int]:
    """Measure the compressed size of each group.

    Many files are read at a time, across groups, because each request to a tree may start a worker.
    Meanwhile, threads compress the files that were read before, with all groups in parallel.
    """
    wanted = table["type"].eq("file") & ~table["inode"].duplicated() & table["size"].gt(0)
    rows = table.loc[wanted, ["path", "size"]].assign(group=keys[wanted].astype(str))
    rows = rows.sort_values("group", kind="stable")
    streams = {name: _Stream() for name in rows["group"].unique()}
    running: list[Future[None]] = []
    with ThreadPoolExecutor() as threads:
        for portion in _portions(rows):
            contents = _read(tree, portion["path"].tolist())
            for done in running:  # a group may continue from the last portion, in order
                done.result()
            running = [
                threads.submit(streams[str(name)].feed, [contents[path] for path in part["path"]])
                for name, part in portion.groupby("group", sort=False)
            ]
        for done in running:
            done.result()
    return {name: stream.end() for name, stream in streams.items()}


class _Stream:
    """A compressed stream of which only the length is kept."""

    def __init__(self) -> None:
        self._stream = zstandard.ZstdCompressor(level=LEVEL).compressobj()
        self._length = 0

    def feed(self, contents: Iterable[bytes]) -> None:
        """Compress more content."""
        for content in contents:
            self._length += len(self._stream.compress(content))

    def end(self) -> int:
        """End the stream; return its length in bytes."""
        return self._length + len(self._stream.flush())


def _read(tree: Tree, paths: Sequence[str]) -> Mapping[str, bytes]:
    if len(paths) == 1:  # it may be larger than a portion
        return {paths[0]: tree.read(paths[0], MOST_IN_MEMORY)}
    return tree.read_many(paths)


def _portions(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield portions of rows that are read together."""
    start, length = 0, 0
    for at, size in enumerate(rows["size"].tolist()):
        if at > start and length + size > _PIECE:
            yield rows.iloc[start:at]
            start, length = at, 0
        length += size
    if start < len(rows):
        yield rows.iloc[start:]
