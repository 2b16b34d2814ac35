"""Where the bytes of a tree are: by partition, directory, package, section, kind or extension."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import zstandard

from kiwinb.errors import InspectError
from kiwinb.inspect.files import files
from kiwinb.inspect.kinds import extensions, kinds
from kiwinb.inspect.opening import Source, opened
from kiwinb.inspect.remembered import remembered
from kiwinb.inspect.tree import MOST_IN_MEMORY, Tree
from kiwinb.packages.databases import find_database

By = Literal["partition", "directory", "package", "section", "type", "extension"]

BY: tuple[By, ...] = ("partition", "directory", "package", "section", "type", "extension")
"""What bytes can be grouped by."""

COLUMNS = ("group", "files", "size", "usage", "compressed", "share")
"""Columns of :func:`breakdown`."""

UNOWNED = "(no package)"
NO_PARTITION = "(no partition)"
LEVEL = 3
"""Level of zstd that is measured with."""

_PIECE = 64 << 20


@runtime_checkable
class HasParts(Protocol):
    """A tree that is put together from partitions."""

    def parts(self) -> pd.DataFrame:
        """What each byte of the disk is for."""
        ...


def parts(tree: Tree) -> pd.DataFrame:
    """What each byte of a disk is for: its partitions, what is between them, and what is free.

    Columns are those of :meth:`kiwinb.inspect.formats.disk.DiskTree.parts`.

    Raises:
        InspectError: It is no disk with partitions.
    """
    if isinstance(tree, HasParts):
        return tree.parts()
    raise InspectError(f"{tree.name} has no partitions", remedy="Give a disk image.")


def breakdown(
    source: Source, by: By = "directory", *, depth: int = 1, compressed: bool = False
) -> pd.DataFrame:
    """Sum up the bytes of a tree, the group that takes most first.

    Columns: ``group``; ``files`` (paths that are no directories); ``size`` (bytes in files, hard
    links counted once); ``usage`` (bytes allocated, as ``du`` counts them); ``compressed`` (bytes
    that zstd leaves of the contents, measured: all files of a group as one stream, in order of
    their paths, at most 1 GiB of each; NaN unless asked for); ``share`` (of all ``usage``, 0 to 1).

    Args:
        source: What to look into.
        by: ``partition`` (of files; :func:`parts` tells all bytes of a disk), ``directory``,
            ``package``, ``section`` (of packages), ``type`` (what files are for, by path) or
            ``extension``.
        depth: Parts of a directory's path that make a group: 2 for ``/usr/share``.
        compressed: Read all files and compress them.

    Raises:
        InspectError: It cannot be read, or there is no such ``by``.
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
    """The group of each row of the table that :func:`~kiwinb.inspect.files.files` gives.

    Args:
        tree: Where the table is from.
        table: All rows of it, or some.
        by: As for :func:`breakdown`.
        depth: As for :func:`breakdown`.

    Raises:
        InspectError: There is no such ``by``.
    """
    if by == "directory":
        return directories(table, depth)
    if by == "package":
        return table["package"].where(table["package"].ne(""), UNOWNED)
    if by == "section":
        database = find_database(tree)
        found = database.packages(tree) if database else ()
        sections = {item.label: item.section or "(no section)" for item in found}
        return table["package"].map(lambda name: sections.get(name, UNOWNED)).astype(object)
    if by == "type":
        return kinds(table)
    if by == "extension":
        return extensions(table)
    if by == "partition":
        return _partitions(tree, table)
    raise InspectError(f"bytes cannot be grouped by {by!r}", remedy=f"Choose: {', '.join(BY)}.")


def _partitions(tree: Tree, table: pd.DataFrame) -> pd.Series:
    """The partition of each row, by the innermost mount point above it."""
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
    """The directory that holds each row, cut to its first parts.

    Args:
        table: Columns ``path`` and ``type``.
        depth: Parts that stay, not counting those of ``under``.
        under: A directory that all paths of the table are in.
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
        table: Columns ``type``, ``size``, ``inode`` and ``usage``.
        keys: The group of each row.
    """
    summed = (
        pd.DataFrame(
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
    """Bytes that zstd leaves of each group.

    Files are read many at a time, across groups: asking a tree once may cost a worker. What was
    read before is compressed meanwhile, groups at the same time.
    """
    wanted = table["type"].eq("file") & ~table["inode"].duplicated() & table["size"].gt(0)
    rows = table.loc[wanted, ["path", "size"]].assign(group=keys[wanted].astype(str))
    rows = rows.sort_values("group", kind="stable")
    streams = {name: _Stream() for name in rows["group"].unique()}
    running: list[Future[None]] = []
    with ThreadPoolExecutor() as threads:
        for portion in _portions(rows):
            contents = _read(tree, portion["path"].tolist())
            for done in running:  # a group may go on from the last portion, in order
                done.result()
            running = [
                threads.submit(streams[str(name)].feed, [contents[path] for path in part["path"]])
                for name, part in portion.groupby("group", sort=False)
            ]
        for done in running:
            done.result()
    return {name: stream.end() for name, stream in streams.items()}


class _Stream:
    """A stream that is compressed, of which only the length is kept."""

    def __init__(self) -> None:
        self._stream = zstandard.ZstdCompressor(level=LEVEL).compressobj()
        self._length = 0

    def feed(self, contents: Iterable[bytes]) -> None:
        """Compress what comes next."""
        for content in contents:
            self._length += len(self._stream.compress(content))

    def end(self) -> int:
        """The length in bytes; nothing can come any more."""
        return self._length + len(self._stream.flush())


def _read(tree: Tree, paths: Sequence[str]) -> Mapping[str, bytes]:
    if len(paths) == 1:  # it may be larger than what is read at once
        return {paths[0]: tree.read(paths[0], MOST_IN_MEMORY)}
    return tree.read_many(paths)


def _portions(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Rows, as many at a time as are read at once."""
    start, length = 0, 0
    for at, size in enumerate(rows["size"].tolist()):
        if at > start and length + size > _PIECE:
            yield rows.iloc[start:at]
            start, length = at, 0
        length += size
    if start < len(rows):
        yield rows.iloc[start:]
