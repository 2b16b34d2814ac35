"""A root tree to look into, whatever it is kept in: a directory, a checkpoint, an image.

Each format is one class that derives from :class:`Tree`. A path is text that starts at the root
of the tree (``/etc/motd``); bytes that are not UTF-8 are in it by ``surrogateescape``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd

from kiwinb.errors import InspectError

KINDS = ("file", "directory", "symlink", "fifo", "socket", "char", "block")
"""What the column ``type`` can say."""

NUMBERS = ("size", "allocated", "mode", "uid", "gid", "links", "inode", "mtime")
"""Columns of whole numbers, as int64."""

COLUMNS = ("path", "type", *NUMBERS, "target")
"""All columns of :meth:`Tree.scan`."""

MOST_IN_MEMORY = 1 << 30
"""Bytes that :meth:`Tree.read` returns at most."""

PLAIN_DIGEST = 1 << 28
"""Up to this size in bytes a digest is the SHA-256 of the content; see :func:`digest`."""

_ZEROS = bytes(1 << 16)
_PARENT: Mapping[str, Any] = {"type": "directory", "mode": 0o755, "links": 1, "target": ""}


class Tree(Protocol):
    """A root tree that can be listed and read; nothing of it is mounted.

    Attributes:
        name: What it is, for headings.
        has_contents: What is in its files can be read; of a list of files it cannot.
    """

    name: str
    has_contents: bool = True

    def scan(self) -> pd.DataFrame:
        """All that is in it, one row per path, sorted by path, the root ``/`` included.

        Columns: ``path``; ``type`` (one of :data:`KINDS`); ``size`` (bytes of a file, 0 for all
        else); ``allocated`` (bytes it takes); ``mode`` (0 to 0o7777); ``uid``; ``gid``; ``links``;
        ``inode`` (rows of one value are hard links of one another); ``mtime`` (seconds since
        1970-01-01 UTC); ``target`` (of a symbolic link, else empty). :func:`table` makes it.

        Raises:
            InspectError: It cannot be read.
        """
        ...

    def read(self, path: str, limit: int | None = None) -> bytes:
        """What is in a file.

        Args:
            path: As :meth:`scan` gives it; no symbolic links are followed.
            limit: Read that many bytes at most.

        Raises:
            InspectError: There is no file at the path, or more than :data:`MOST_IN_MEMORY` in it
                and no limit is given.
        """
        ...

    def exists(self, path: str) -> bool:
        """Whether there is anything at the path; no symbolic links are followed."""
        ...

    def read_many(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """What is in several files, by path; faster than one by one where a format allows it.

        Raises:
            InspectError: There is no file at one of the paths.
        """
        return {path: self.read(path) for path in paths}

    def below(self, directory: str) -> Sequence[str]:
        """The paths below a directory, sorted; none when it is not there."""
        paths: list[str] = self.scan()["path"].tolist()
        start = f"{directory.rstrip('/')}/"
        return [path for path in paths if path.startswith(start) and path != "/"]

    def digests(self, paths: Sequence[str]) -> Mapping[str, str]:
        """A digest of what is in each of the files, by path; see :func:`digest`.

        Raises:
            InspectError: There is no file at one of the paths.
        """
        return {path: digest((content := self.read(path),), len(content)) for path in paths}

    def close(self) -> None:
        """Let go of files and memory; it cannot be read any more."""
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
    """Bytes of zeros that are not stored, by their number, as a piece of a content."""


def joined(pieces: Iterable[bytes | Hole], size: int, path: str) -> bytes:
    """A content, put together from its pieces.

    Args:
        pieces: From the start on; together at least ``size`` bytes.
        size: Bytes wanted.
        path: Of the file, for errors.

    Raises:
        InspectError: It is larger than :data:`MOST_IN_MEMORY`.
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
    """A digest of a content: equal for equal contents, wherever they are kept.

    It is the SHA-256, in hexadecimal, of the content. Of a content larger than
    :data:`PLAIN_DIGEST` it is that of the content with zeros left out, so that a sparse file of
    terabytes is no trouble: of each block of 64 KiB that is not all zeros, its number as 8 bytes,
    little endian, and the block; then the size likewise.

    Args:
        pieces: The content from the start on; what is beyond ``size`` does not count.
        size: Its length in bytes.
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
            if rest:  # fill up the block that was begun
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

    Directories that hold a path but are not listed, the root included, are added: mode 0755, of
    user 0, and of the ``mtime`` 0.

    Args:
        columns: All of :data:`COLUMNS` by name; ``inode`` may be left out if there are no hard
            links.
        complete: All those directories are listed; not looking for them saves time.
    """
    given = pd.DataFrame(
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
