"""The protocol of root trees that can be inspected: directories, checkpoints, images.

Each format is a class that derives from :class:`Tree`. Paths start at the root of the tree
(``/etc/motd``). ``surrogateescape`` decodes their bytes that are not UTF-8.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd

from kiwinb.errors import InspectError
from kiwinb.inspect.links import resolver_of
from kiwinb.inspect.table import Table

KINDS = ("file", "directory", "symlink", "fifo", "socket", "char", "block")
"""Values of the column ``type``."""

NUMBERS = ("size", "allocated", "mode", "uid", "gid", "links", "inode", "mtime")
"""Columns of integers, of type int64."""

COLUMNS = ("path", "type", *NUMBERS, "target")
"""All columns of :meth:`Tree.scan`."""

MOST_IN_MEMORY = 1 << 30
"""Largest number of bytes that :meth:`Tree.read` returns."""

PLAIN_DIGEST = 1 << 28
"""Up to this size in bytes, a digest is the SHA-256 of the content; see :func:`digest`."""

_ZEROS = bytes(1 << 16)
_PARENT: Mapping[str, Any] = {"type": "directory", "mode": 0o755, "links": 1, "target": ""}


class Tree(Protocol):
    """A root tree that can be listed and read without mounting it.

    Attributes:
        name: Name in headings.
        has_contents: Whether the content of files can be read; it cannot in a mere list of files.
    """

    name: str
    has_contents: bool = True

    def scan(self) -> pd.DataFrame:
        """List all paths, one in each row, sorted by path and including the root ``/``.

        Columns: ``path``; ``type`` (one of :data:`KINDS`); ``size`` (bytes of a file, 0 for other
        types); ``allocated`` (allocated bytes); ``mode`` (0 to 0o7777); ``uid``; ``gid``;
        ``links``; ``inode`` (equal for hard links to the same file); ``mtime`` (seconds since
        1970-01-01 UTC); ``target`` (of a symbolic link, otherwise empty). :func:`table` makes this
        table.

        Raises:
            InspectError: The tree cannot be read.
        """
        ...

    def read(self, path: str, limit: int | None = None) -> bytes:
        """Read a file.

        Args:
            path: Path from :meth:`scan`; symbolic links are not followed.
            limit: Largest number of bytes to read.

        Raises:
            InspectError: There is no file at the path, or more than :data:`MOST_IN_MEMORY` bytes
                would be read.
        """
        ...

    def exists(self, path: str) -> bool:
        """Tell whether there is a file of any kind at a path, without following symbolic links."""
        ...

    def resolved(self, path: str) -> str:
        """Return where a path leads in the tree when symbolic links are followed.

        Links never leave the tree: absolute ones start at its root. Nothing needs to be there.
        """
        return resolver_of(self.scan())[path] or "/"

    def found(self, paths: Sequence[str]) -> Mapping[str, str]:
        """Return those paths that lead to regular files, each with its path without links.

        Symbolic links are followed as in :meth:`resolved`; :meth:`read` takes the resulting paths.
        """
        table = self.scan()
        directories = resolver_of(table)
        files = set(table.loc[table["type"].eq("file"), "path"])
        places = {path: directories[path] for path in paths}
        return {path: place for path, place in places.items() if place in files}

    def read_many(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """Read several files, by path; many formats are faster at this than one by one.

        Raises:
            InspectError: There is no file at one of the paths.
        """
        return {path: self.read(path) for path in paths}

    def below(self, directory: str) -> Sequence[str]:
        """List the paths below a directory, sorted; empty if the directory does not exist."""
        paths: list[str] = self.scan()["path"].tolist()
        start = f"{directory.rstrip('/')}/"
        return [path for path in paths if path.startswith(start) and path != "/"]

    def digests(self, paths: Sequence[str]) -> Mapping[str, str]:
        """Compute the digests of several files, by path; see :func:`digest`.

        Raises:
            InspectError: There is no file at one of the paths.
        """
        return {path: digest((content := self.read(path),), len(content)) for path in paths}

    def close(self) -> None:
        """Close files and free memory; the tree cannot be read any more."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Hole(int):
    """A number of zero bytes in the content of a file that are not stored."""


def joined(pieces: Iterable[bytes | Hole], size: int, path: str) -> bytes:
    """Join pieces of content.

    Args:
        pieces: Pieces from the start, in total at least ``size`` bytes.
        size: Number of bytes to return.
        path: Path of the file, for errors.

    Raises:
        InspectError: ``size`` is larger than :data:`MOST_IN_MEMORY`.
    """
    if size > MOST_IN_MEMORY:
        raise InspectError(
            f"{path} is too large to be read at once: {size} bytes",
            remedy=f"Read a part of it: with limit={MOST_IN_MEMORY} or less.",
        )
    found = bytearray()
    for piece in pieces:
        room = size - len(found)
        found += bytes(min(piece, room)) if isinstance(piece, Hole) else piece[:room]
        if len(found) >= size:
            break
    return bytes(found)


def digest(pieces: Iterable[bytes | Hole], size: int) -> str:
    """Compute a digest of content that does not depend on the format in which it is stored.

    The digest is the SHA-256 of the content, in hexadecimal. If the content is larger than
    :data:`PLAIN_DIGEST`, blocks of zeros are left out, which makes digests of huge sparse files
    fast: for each block of 64 KiB that has other bytes, the hash covers its number (8 bytes, little
    endian) and the block; then it covers the size in the same form.

    Args:
        pieces: Pieces from the start; bytes beyond ``size`` are ignored.
        size: Size of the content in bytes.
    """
    hasher = hashlib.sha256()
    left = size
    if size <= PLAIN_DIGEST:
        for piece in pieces:
            data = bytes(min(piece, left)) if isinstance(piece, Hole) else piece[:left]
            hasher.update(data)
            left -= len(data)
        return hasher.hexdigest()
    block, at = len(_ZEROS), 0
    rest = bytearray()
    for piece in pieces:
        if isinstance(piece, Hole):
            hole = min(piece, size - at - len(rest))
            if rest:  # complete the current block
                fill = min(hole, block - len(rest))
                rest += bytes(fill)
                hole -= fill
                if len(rest) == block:
                    _block(hasher, at, bytes(rest))
                    at += block
                    rest.clear()
            whole = hole - hole % block
            at += whole
            rest += bytes(hole - whole)
            continue
        rest += piece[: size - at - len(rest)]
        whole = len(rest) - len(rest) % block
        for start in range(0, whole, block):
            _block(hasher, at + start, bytes(rest[start : start + block]))
        at += whole
        del rest[:whole]
    _block(hasher, at, bytes(rest))
    hasher.update(size.to_bytes(8, "little"))
    return hasher.hexdigest()


def _block(hasher: hashlib._Hash, at: int, data: bytes) -> None:
    if data != _ZEROS[: len(data)]:
        hasher.update((at // len(_ZEROS)).to_bytes(8, "little"))
        hasher.update(data)


def table(
    columns: Mapping[str, Sequence[Any] | np.ndarray[Any, Any] | pd.Categorical],
    *,
    complete: bool = False,
) -> pd.DataFrame:
    """Make the table that :meth:`Tree.scan` returns.

    Missing parent directories, including the root, are added with mode 0755, user 0 and ``mtime``
    0.

    Args:
        columns: All of :data:`COLUMNS`, by name; ``inode`` may be left out if there are no hard
            links.
        complete: Whether all parent directories are listed, which saves searching for them.
    """
    given: pd.DataFrame = Table(
        {
            "path": pd.Series(columns["path"], dtype=object),
            "type": pd.Categorical(columns["type"], categories=list(KINDS)),
            **{name: np.asarray(columns[name], np.int64) for name in NUMBERS if name in columns},
            "target": pd.Series(columns["target"], dtype=object),
        }
    )
    if "inode" not in columns:
        given.insert(len(COLUMNS) - 3, "inode", np.arange(len(given), dtype=np.int64))
    missing: list[str] = []
    if not complete:
        missing = _missing_parents(given["path"].tolist(), given["type"].eq("directory").tolist())
    if missing:
        first = int(given["inode"].max()) + 1 if len(given) else 0
        added = pd.DataFrame({"path": pd.Series(missing, dtype=object)}).assign(**_PARENT)
        added = added.assign(inode=range(first, first + len(missing)))
        added = added.reindex(columns=given.columns, fill_value=0)
        given = pd.concat([given, added.astype(dict(given.dtypes))], ignore_index=True)
    paths = given["path"].tolist()
    order = sorted(range(len(paths)), key=paths.__getitem__)
    return given.take(np.asarray(order, np.intp)).reset_index(drop=True)[list(COLUMNS)]


def _missing_parents(paths: list[str], directory: list[bool]) -> list[str]:
    listed = {path for path, is_directory in zip(paths, directory, strict=True) if is_directory}
    missing = {"/"} - listed
    for parent in {path.rpartition("/")[0] for path in paths}:
        while parent and parent not in listed and parent not in missing:
            missing.add(parent)
            parent = parent.rpartition("/")[0]
    return sorted(missing)
