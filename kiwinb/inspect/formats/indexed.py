"""Base classes of formats: a list of entries, each with the place of its content."""

from __future__ import annotations

import stat
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import pandas as pd

from kiwinb.checkpoints.treescan import KIND_OF
from kiwinb.errors import InspectError
from kiwinb.inspect.formats.window import DamagedError, reading
from kiwinb.inspect.tree import Hole, Tree, digest, joined, table

_MOST_ENTRIES = 8_000_000
_DEEPEST = 4096  # bytes of a path, as in PATH_MAX


class Facts(NamedTuple):
    """Metadata of an inode.

    Attributes:
        mode: Type and permissions, as in ``st_mode``.
        uid: Owner.
        gid: Group.
        links: Number of hard links.
        size: Size of a file in bytes; ignored for other types.
        allocated: Number of allocated bytes.
        inode: Inode number.
        mtime: Modification time, in seconds since 1970-01-01 UTC.
        target: Target of a symbolic link.
    """

    mode: int
    uid: int
    gid: int
    links: int
    size: int
    allocated: int
    inode: int
    mtime: int
    target: bytes = b""


@dataclass(frozen=True)
class Volume:
    """A file system as a whole.

    Attributes:
        filesystem: Its type, as ``mount`` names it.
        label: Its label.
        uuid: Its UUID or serial number, as ``blkid`` prints it.
        size: Size in bytes.
        used: Number of bytes in use; the whole size if the type cannot have free space.
    """

    filesystem: str
    label: str = ""
    uuid: str = ""
    size: int = 0
    used: int = 0


class Rows:
    """Collected columns of a scan, and the place of the content of each file."""

    def __init__(self) -> None:
        self.path: list[str] = []
        self.kind: list[str] = []
        self.facts: list[Facts] = []
        self.place: list[Any] = []

    def add(self, path: str, facts: Facts, place: Any) -> None:
        """Add an entry.

        Args:
            path: Absolute path.
            facts: Its metadata.
            place: Data from which the format finds the content.

        Raises:
            DamagedError: The entry has an unknown type, or there are too many entries.
        """
        kind = KIND_OF.get(stat.S_IFMT(facts.mode))
        if kind is None:
            raise DamagedError(f"{path[:200]} is of no known type (mode {facts.mode:#o})")
        if len(self.path) >= _MOST_ENTRIES:
            raise DamagedError(f"it has more than {_MOST_ENTRIES} entries")
        self.path.append(path)
        self.kind.append(kind)
        self.facts.append(facts)
        self.place.append(place)

    def table(self) -> pd.DataFrame:
        """Make the table that :meth:`kiwinb.inspect.tree.Tree.scan` returns."""
        columns: dict[str, Sequence[Any]] = dict(
            zip(Facts._fields, zip(*self.facts, strict=True), strict=True)
            if self.facts
            else dict.fromkeys(Facts._fields, ()).items()
        )
        columns["mode"] = [mode & 0o7777 for mode in columns["mode"]]
        columns["inode"] = [_signed(number) for number in columns["inode"]]
        columns["size"] = [
            size if kind == "file" else 0
            for size, kind in zip(columns["size"], self.kind, strict=True)
        ]
        columns["target"] = [text(target) for target in columns["target"]]
        return table({**columns, "path": self.path, "type": self.kind})


def _signed(number: int) -> int:
    return number if number < 1 << 63 else number - (1 << 64)


def text(name: bytes) -> str:
    """Decode a name."""
    return name.decode("utf-8", "surrogateescape")


class IndexedTree(Tree, ABC):
    """A tree whose entries are listed only once, and whose contents are at known places.

    Args:
        name: Name in headings and errors.
    """

    what: ClassVar[str]
    """Description of the format with an article, for errors."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def _list(self, rows: Rows) -> None:
        """Add all entries to the rows."""

    @abstractmethod
    def _pieces(self, place: Any, size: int) -> Iterator[bytes | Hole]:
        """Yield the content of a file from its start, in total ``size`` bytes or more."""

    @property
    def volume(self) -> Volume | None:
        """The file system as a whole; ``None`` if it is not a file system."""
        return None

    @cached_property
    def _rows(self) -> Rows:
        rows = Rows()
        with reading(self.name, self.what):
            self._list(rows)
        return rows

    @cached_property
    def _table(self) -> pd.DataFrame:
        with reading(self.name, self.what):
            return self._rows.table()

    @cached_property
    def _index(self) -> Mapping[str, int]:
        return {path: number for number, path in enumerate(self._rows.path)}

    def scan(self) -> pd.DataFrame:
        """List the tree; see :meth:`kiwinb.inspect.tree.Tree.scan`."""
        return self._table.copy(deep=False)

    def exists(self, path: str) -> bool:
        """Tell whether there is a file of any kind at the path."""
        if path in self._index:
            return True
        return path == "/" or any(other.startswith(f"{path}/") for other in self._index)

    def _find(self, path: str) -> tuple[Any, int]:
        """Return the place and the size of a file."""
        number = self._index.get(path)
        if number is None or self._rows.kind[number] != "file":
            raise InspectError(
                f"{self.name} has no {'entry' if number is None else 'file'} {path}",
                remedy="scan() lists all paths; symbolic links are not followed.",
            )
        return self._rows.place[number], self._rows.facts[number].size

    def read(self, path: str, limit: int | None = None) -> bytes:
        """Read a file; see :meth:`kiwinb.inspect.tree.Tree.read`."""
        place, size = self._find(path)
        wanted = size if limit is None else min(size, limit)
        with reading(self.name, self.what):
            return joined(self._pieces(place, wanted), wanted, path)

    def read_many(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """Read several files, by path, in the order in which they are stored."""
        found = {path: self.read(path) for path in self._stored_order(paths)}
        return {path: found[path] for path in paths}

    def digests(self, paths: Sequence[str]) -> Mapping[str, str]:
        """Compute the digests of several files, by path, reading hard links once."""
        known: dict[int, str] = {}
        found = {}
        for path in self._stored_order(paths):
            place, size = self._find(path)
            inode = self._rows.facts[self._index[path]].inode
            if inode not in known:
                with reading(self.name, self.what):
                    known[inode] = digest(self._pieces(place, size), size)
            found[path] = known[inode]
        return {path: found[path] for path in paths}

    def _stored_order(self, paths: Sequence[str]) -> Sequence[str]:
        return sorted(set(paths), key=lambda path: self._index.get(path, 0))


class InodeTree(IndexedTree):
    """A file system with inodes, listed from its root directory.

    Its places identify inodes in a form that depends on the format.
    """

    @property
    @abstractmethod
    def _root(self) -> Hashable:
        """The place of the root directory."""

    @abstractmethod
    def _facts(self, place: Any) -> Facts:
        """Read the metadata of an inode."""

    @abstractmethod
    def _names(self, place: Any) -> Iterable[tuple[bytes, Hashable]]:
        """List the names in a directory except ``.`` and ``..``, with places of their inodes."""

    def _list(self, rows: Rows) -> None:
        root = self._facts(self._root)
        if not stat.S_ISDIR(root.mode):
            raise DamagedError("its root is not a directory")
        rows.add("/", root, self._root)
        seen: set[Hashable] = {self._root}
        known: dict[Hashable, Facts] = {}
        todo: list[tuple[str, Hashable]] = [("", self._root)]
        while todo:
            parent, directory = todo.pop()
            names: set[bytes] = set()
            for name, place in self._names(directory):
                if not name or b"/" in name or b"\0" in name or name in (b".", b".."):
                    raise DamagedError(f"{parent or '/'} holds the impossible name {name[:60]!r}")
                if name in names:
                    raise DamagedError(f"{parent or '/'} holds the name {name[:60]!r} twice")
                names.add(name)
                facts = known.get(place)
                if facts is None:
                    facts = self._facts(place)
                    if facts.links > 1:
                        known[place] = facts
                path = f"{parent}/{text(name)}"
                rows.add(path, facts, place)
                if stat.S_ISDIR(facts.mode):
                    if place in seen or len(path) > _DEEPEST:
                        raise DamagedError(f"the directory {path[:200]} is within itself")
                    seen.add(place)
                    todo.append((path, place))
