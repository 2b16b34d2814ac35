"""Read trees in directories of this host."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from kiwinb.checkpoints.treescan import KIND_OF
from kiwinb.errors import InspectError, KiwinbError
from kiwinb.inspect.formats.window import PIECE
from kiwinb.inspect.tree import KINDS, Hole, Tree, digest, joined, table
from kiwinb.sandbox.devices import read_device
from kiwinb.sandbox.holes import extents
from kiwinb.sandbox.mount_table import mounts
from kiwinb.sandbox.paths import inner_path, resolve_in

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TYPE = 0o170000
_KIND = pd.CategoricalDtype(list(KINDS))
_LOW = (1 << 64) - 1
_SEARCH = os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


class DirectoryTree(Tree):
    """A tree in a directory, of which each call reads the current state.

    Mount points are listed, but the file systems mounted on them are not part of the tree.
    Stand-ins for device nodes (:mod:`kiwinb.sandbox.devices`) are listed as devices.

    Args:
        path: The directory.
        name: Name in messages; by default, the path.
    """

    def __init__(self, path: str | os.PathLike[str], name: str = "") -> None:
        self.path = Path(path)
        self.name = name or str(path)

    def scan(self) -> pd.DataFrame:
        """List the tree; see :meth:`kiwinb.inspect.tree.Tree.scan`."""
        try:
            return _scan(os.fspath(self.path.absolute()))
        except OSError as error:
            raise self._unreadable(error) from error

    def read(self, path: str, limit: int | None = None) -> bytes:
        """Read a file; see :meth:`kiwinb.inspect.tree.Tree.read`."""
        with self._file(path) as file:
            size = os.fstat(file).st_size
            wanted = size if limit is None else min(size, limit)
            return joined(_pieces(file, wanted), wanted, path)

    def exists(self, path: str) -> bool:
        """Tell whether there is a file of any kind at the path."""
        try:
            parent, name = self._parent(path)
        except OSError:
            return False
        try:
            os.stat(name, dir_fd=parent, follow_symlinks=False)
        except OSError:
            return False
        finally:
            os.close(parent)
        return True

    def resolved(self, path: str) -> str:
        """Return where a path leads in the tree; see :meth:`kiwinb.inspect.tree.Tree.resolved`."""
        try:
            return inner_path(self.path, resolve_in(self.path, path))
        except (KiwinbError, OSError):  # links in a circle, or a directory that is not readable
            return path

    def found(self, paths: Sequence[str]) -> Mapping[str, str]:
        """Return those paths that lead to files; see :meth:`kiwinb.inspect.tree.Tree.found`."""
        places = {path: self.resolved(path) for path in paths}
        return {path: place for path, place in places.items() if self._is_file(place)}

    def below(self, directory: str) -> Sequence[str]:
        """List the paths below a directory; see :meth:`kiwinb.inspect.tree.Tree.below`."""
        if self.resolved(directory) != directory:  # a link has nothing below it
            return []
        top = self.path / directory.lstrip("/")
        return sorted(
            inner_path(self.path, Path(folder, name))
            for folder, names, files in os.walk(top)
            for name in (*names, *files)
        )

    def _is_file(self, path: str) -> bool:
        try:
            return stat.S_ISREG((self.path / path.lstrip("/")).lstat().st_mode)
        except OSError:
            return False

    def digests(self, paths: Sequence[str]) -> Mapping[str, str]:
        """Compute the digests of several files, by path, reading hard links once."""
        known: dict[tuple[int, int], str] = {}
        found = {}
        for path in paths:
            with self._file(path) as file:
                status = os.fstat(file)
                inode = (status.st_dev, status.st_ino)
                if inode not in known:
                    known[inode] = digest(_pieces(file, status.st_size), status.st_size)
                found[path] = known[inode]
        return found

    def _parent(self, path: str) -> tuple[int, str]:
        """Open the directory that holds a path, without following links; also return the name."""
        *parents, name = path.strip("/").split("/")
        at = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        for part in parents:
            try:
                inner = os.open(_inside(part), _SEARCH, dir_fd=at)
            finally:
                os.close(at)
            at = inner
        return at, _inside(name) if name else "."

    def _file(self, path: str) -> _OpenFile:
        try:
            parent, name = self._parent(path)
            try:
                file = os.open(name, _OPEN, dir_fd=parent)
            finally:
                os.close(parent)
        except OSError as error:
            if isinstance(error, PermissionError):
                raise self._unreadable(error) from error
            raise self._no_file(path) from error
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise self._no_file(path)
        return _OpenFile(file)

    def _no_file(self, path: str) -> InspectError:
        return InspectError(
            f"{self.name} has no file {path}",
            remedy="scan() lists all paths; symbolic links are not followed.",
        )

    def _unreadable(self, error: OSError) -> InspectError:
        remedy = "Check that the directory is there."
        if isinstance(error, PermissionError):
            remedy = "Run as root, or as the user who owns the tree."
        return InspectError(f"cannot read {self.name}: {error}", remedy=remedy)


class _OpenFile:
    """A context manager for a file descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, *_error: object) -> None:
        os.close(self._descriptor)


def _inside(part: str) -> str:
    if part in ("", ".", ".."):
        raise FileNotFoundError(part)
    return part


def _pieces(file: int, size: int) -> Iterator[bytes | Hole]:
    at = 0
    for start, end in extents(file):
        if min(start, size) > at:
            yield Hole(min(start, size) - at)
            at = start
        while at < min(end, size):
            piece = os.pread(file, min(PIECE, min(end, size) - at), at)
            if not piece:  # it has shrunk
                return
            yield piece
            at += len(piece)
    if at < size:
        yield Hole(size - at)


def _scan(top: str) -> pd.DataFrame:
    """List a directory; only numbers and text of each entry are kept, for speed."""
    first = Path(top).stat()
    paths = ["/"]
    numbers: list[int] = [*first]  # type: ignore[list-item]  # it is a sequence of numbers
    blocks = [first.st_blocks]
    targets: dict[int, str] = {}
    devices: dict[int, str] = {}
    mounts = _Mounts(top)
    device = first.st_dev
    todo = [""]
    add_path, add_numbers, add_blocks = paths.append, numbers.extend, blocks.append
    is_link, is_directory, is_file, mask = stat.S_IFLNK, stat.S_IFDIR, stat.S_IFREG, _TYPE
    while todo:
        parent = todo.pop()
        try:
            listing = os.open(top + parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:  # it has been removed
            continue
        inner = []
        try:
            with os.scandir(listing) as entries:
                for entry in entries:
                    name = entry.name
                    path = f"{parent}/{name}"
                    try:
                        status = entry.stat(follow_symlinks=False)
                        mode = status.st_mode & mask
                        if mode == is_file:
                            if not status.st_size and (found := _stand_in(top + path, status)):
                                devices[len(paths)] = found
                        elif mode == is_directory:
                            if status.st_dev == device or path not in mounts.points:
                                inner.append(path)
                        elif mode == is_link:
                            targets[len(paths)] = os.readlink(name, dir_fd=listing)
                    except FileNotFoundError:
                        continue
                    add_path(path)
                    add_numbers(status)  # type: ignore[arg-type]  # it is a sequence of numbers
                    add_blocks(status.st_blocks)
        finally:
            os.close(listing)
        inner.sort(reverse=True)  # nearly in the order of the table
        todo += inner
    return _table(paths, numbers, blocks, targets, devices)


def _stand_in(path: str, status: os.stat_result) -> str:
    found = read_device(path, status)
    return "" if found is None else "char" if found.kind == "c" else "block"


def _table(
    paths: list[str],
    numbers: list[int],
    blocks: list[int],
    targets: dict[int, str],
    devices: dict[int, str],
) -> pd.DataFrame:
    try:
        flat = np.fromiter(numbers, np.int64, len(numbers))
    except OverflowError:  # of an inode number
        flat = np.fromiter((n & _LOW for n in numbers), np.uint64, len(numbers)).view(np.int64)
    facts = flat.reshape(len(paths), -1)
    modes = facts[:, stat.ST_MODE]
    kinds = np.zeros(len(paths), np.int8)
    for mode, name in KIND_OF.items():
        kinds[(modes & _TYPE) == mode] = KINDS.index(name)
    for number, kind in devices.items():
        kinds[number] = KINDS.index(kind)
    target = [""] * len(paths)
    for number, text in targets.items():
        target[number] = text
    return table(
        {
            "path": paths,
            "type": pd.Categorical.from_codes(kinds, dtype=_KIND),
            "size": np.where(kinds == KINDS.index("file"), facts[:, stat.ST_SIZE], 0),
            "allocated": np.fromiter(blocks, np.int64, len(blocks)) * 512,
            "mode": modes & 0o7777,
            "uid": facts[:, stat.ST_UID],
            "gid": facts[:, stat.ST_GID],
            "links": facts[:, stat.ST_NLINK],
            "inode": facts[:, stat.ST_INO],
            "mtime": facts[:, stat.ST_MTIME],
            "target": target,
        },
        complete=True,
    )


class _Mounts:
    """Mount points below a directory."""

    def __init__(self, top: str) -> None:
        self._top = os.path.realpath(top).rstrip("/")

    @cached_property
    def points(self) -> frozenset[str]:
        """Paths that start at the directory."""
        points = (mount.point for mount in mounts())
        return frozenset(
            point[len(self._top) :] for point in points if point.startswith(f"{self._top}/")
        )
