"""What the formats have in common: a list of entries, each with the place of its content."""

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
    """What an inode says.

    Attributes:
        mode: Type and permissions, as ``st_mode`` has them.
        uid: Owner.
        gid: Group.
        links: Number of hard links.
        size: Length of a file in bytes; of other things it does not matter.
        allocated: Bytes it takes.
        inode: Its number.
        mtime: Seconds since 1970-01-01 UTC.
        target: Of a symbolic link.
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
        filesystem: Its name, as ``mount`` has it.
        label: Its label.
        uuid: Its UUID or serial number, as ``blkid`` prints it.
        size: Bytes it spans.
        used: Bytes of it that are in use; all where free space cannot be.
    """

    filesystem: str
    label: str = ""
    uuid: str = ""
    size: int = 0
    used: int = 0


class Rows:
    """The columns of a scan as they grow, and where the content of each file is."""

    def __init__(self) -> None:
        self.path: list[str] = []
        self.kind: list[str] = []
        self.facts: list[Facts] = []
        self.place: list[Any] = []

    def add(self, path: str, facts: Facts, place: Any) -> None:
        """Note an entry.

        Args:
            path: From ``/`` on.
            facts: What is known of it.
            place: What the format needs to find its content.
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
        """As :meth:`kiwinb.inspect.tree.Tree.scan` gives them."""
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
    """Bytes of a name as text."""
    return name.decode("utf-8", "surrogateescape")


class IndexedTree(Tree, ABC):
    """A tree whose entries are listed once, and whose contents are at known places.

    Args:
        name: What it is, for headings and errors.
    """

    what: ClassVar[str]
    """The format with an article, for errors."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def _list(self, rows: Rows) -> None:
        """Note all entries."""

    @abstractmethod
    def _pieces(self, place: Any, size: int) -> Iterator[bytes | Hole]:
        """The content of a file from its start on, ``size`` bytes or more in all."""

    @property
    def volume(self) -> Volume | None:
        """The file system; ``None`` of what is none."""
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
        """All that is in it; see :meth:`kiwinb.inspect.tree.Tree.scan`."""
        return self._table.copy(deep=False)

    def exists(self, path: str) -> bool:
        """Whether there is anything at the path."""
        if path in self._index:
            return True
        return path == "/" or any(other.startswith(f"{path}/") for other in self._index)

    def _find(self, path: str) -> tuple[Any, int]:
        """Place and size of a file."""
        number = self._index.get(path)
        if number is None or self._rows.kind[number] != "file":
            raise InspectError(
                f"{self.name} has no {'entry' if number is None else 'file'} {path}",
                remedy="Paths are those that scan() lists; symbolic links are not followed.",
            )
        return self._rows.place[number], self._rows.facts[number].size

    def read(self, path: str, limit: int | None = None) -> bytes:
        """What is in a file; see :meth:`kiwinb.inspect.tree.Tree.read`."""
        place, size = self._find(path)
        wanted = size if limit is None else min(size, limit)
        with reading(self.name, self.what):
            return joined(self._pieces(place, wanted), wanted, path)

    def read_many(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """What is in several files, read in the order in which they are stored."""
        found = {path: self.read(path) for path in self._stored_order(paths)}
        return {path: found[path] for path in paths}

    def digests(self, paths: Sequence[str]) -> Mapping[str, str]:
        """Digests of several files; hard links are read once."""
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
    """A file system of inodes, walked from its root directory on.

    A place, here, is what names an inode within the format.
    """

    @property
    @abstractmethod
    def _root(self) -> Hashable:
        """The place of the root directory."""

    @abstractmethod
    def _facts(self, place: Any) -> Facts:
        """What the inode says."""

    @abstractmethod
    def _names(self, place: Any) -> Iterable[tuple[bytes, Hashable]]:
        """Names in a directory, without ``.`` and ``..``, each with the place of its inode."""

    def _list(self, rows: Rows) -> None:
        root = self._facts(self._root)
        if not stat.S_ISDIR(root.mode):
            raise DamagedError("its root is no directory")
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
