"""Entries of archives, and the tree that they make when they are unpacked one after the other.

Symbolic links in the parent directories of an entry are followed inside the tree, as GNU tar, Linux
and container engines do when they unpack: after ``lib -> usr/lib``, the entry ``lib/x`` is
``/usr/lib/x``. A link in the place of the entry itself is replaced, also by a directory.

Source for layers: the OCI Image Format Specification 1.0, "Image Layer Filesystem Changeset".
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from kiwinb.inspect.formats.indexed import Facts, Rows, text
from kiwinb.inspect.formats.window import DamagedError, Window
from kiwinb.inspect.tree import Hole

_MOST_LINKS = 40  # as in path_resolution(7)
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"


def clean(name: str) -> str:
    """Turn a name in an archive into an absolute path; ``..`` never leaves the root."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


class Member(NamedTuple):
    """An entry of an archive.

    Attributes:
        path: Absolute path.
        facts: Metadata.
        place: Place of its content; ``None`` if it has none.
        link: Path of the entry to which it is a hard link; empty if it is not a hard link.
    """

    path: str
    facts: Facts
    place: Stored | None
    link: str = ""


class Stored(NamedTuple):
    """Place of the content of a file.

    Attributes:
        window: The archive.
        runs: Runs of data: offset in the file, offset in the archive, and length in bytes.
        size: Size of the content in bytes, including holes.
    """

    window: Window
    runs: tuple[tuple[int, int, int], ...]
    size: int

    def pieces(self) -> Iterator[bytes | Hole]:
        """Yield the content."""
        at = 0
        for start, place, length in self.runs:
            if start < at:
                raise DamagedError("the pieces of a sparse file overlap")
            if start > at:
                yield Hole(start - at)
            yield from self.window.pieces(place, length)
            at = start + length
        if at < self.size:
            yield Hole(self.size - at)


class _NotADirectoryError(DamagedError):
    """A path leads through something that is not a directory."""


class Unpacked:
    """The tree that entries of archives make; hard links to the same file have the same inode."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[Facts, Stored | None]] = {}
        self._inner: dict[str, set[str]] = {}
        """Paths in each directory; the root is empty here, as in all paths of directories."""
        self._number = 0
        self._known: dict[str, str] = {}
        """Directories, by a path that may lead through links."""
        self._passed: set[str] = set()
        """Paths that these ways lead through."""

    def unpack(self, members: Iterable[Member]) -> None:
        """Add the entries of an archive, which replace those of the same path.

        Raises:
            DamagedError: An entry is in something that is not a directory, or a hard link leads to
                nothing.
        """
        for member in members:
            self._place(member, self._located(member.path))

    def lay_over(self, members: Iterable[Member]) -> None:
        """Add a layer of a container; its whiteouts affect only the layers below it.

        Raises:
            DamagedError: As :meth:`unpack` raises it.
        """
        own: set[str] = set()
        cleared: set[str] = set()
        for member in members:
            if member.path.rpartition("/")[2].startswith(_WHITEOUT):
                with suppress(_NotADirectoryError):  # then it has nothing to hide
                    self._white_out(self._located(member.path), own, cleared)
            else:
                path = self._located(member.path)
                self._place(member, path)
                while path not in own:
                    own.add(path)
                    path = path.rpartition("/")[0]

    def fill(self, rows: Rows) -> None:
        """Add all entries to rows, with the number of their hard links."""
        count: dict[int, int] = {}
        for facts, _place in self._found.values():
            count[facts.inode] = count.get(facts.inode, 0) + 1
        inner: dict[str, int] = {}
        for path, (facts, _place) in self._found.items():
            if stat.S_ISDIR(facts.mode) and path != "/":
                parent = path.rpartition("/")[0] or "/"
                inner[parent] = inner.get(parent, 0) + 1
        for path, (facts, place) in self._found.items():
            links = 2 + inner.get(path, 0) if stat.S_ISDIR(facts.mode) else count[facts.inode]
            rows.add(path, facts._replace(links=links), place)

    def _white_out(self, path: str, own: set[str], cleared: set[str]) -> None:
        """Remove what lower layers have at a path.

        Args:
            path: Path of the whiteout.
            own: Paths of its own layer, and the directories that hold them.
            cleared: Directories that have nothing of lower layers any more; they are not searched
                again.
        """
        parent, _, name = path.rpartition("/")
        pending = [parent if name == _OPAQUE else f"{parent}/{name.removeprefix(_WHITEOUT)}"]
        if name != _OPAQUE and pending[0] not in own:
            self._remove(pending.pop())
        while pending:
            place = pending.pop()
            if place in cleared:
                continue
            cleared.add(place)
            for inner in tuple(self._inner.get(place, ())):
                if inner in own:
                    pending.append(inner)
                else:
                    self._remove(inner)

    def _located(self, path: str) -> str:
        """Return where a path leads, without following a link at the path itself."""
        parent, _, name = path.rpartition("/")
        return f"{self._directory(parent)}/{name}"

    def _directory(self, path: str) -> str:
        """Return where the path of a directory leads; the root is empty."""
        known = self._known.get(path)
        if known is not None:
            return known
        missing = []
        while path and path not in self._known:
            missing.append(path)
            path = path.rpartition("/")[0]
        place = self._known.get(path, "")
        for path in reversed(missing):
            place = self._known[path] = self._step(place, path)
        return place

    def _step(self, at: str, path: str) -> str:
        """Return where the last part of a path leads from a directory."""
        parts, links = [path.rpartition("/")[2]], 0
        while parts:
            part = parts.pop()
            if part == "..":
                at = at.rpartition("/")[0]
            if part in ("", ".", ".."):
                continue
            here = f"{at}/{part}"
            self._passed.add(here)
            facts = self._found[here][0] if here in self._found else None
            if facts is None or stat.S_ISDIR(facts.mode):
                at = here
            elif stat.S_ISLNK(facts.mode):
                links += 1
                if links > _MOST_LINKS:
                    raise DamagedError(f"too many symbolic links lead to {path}")
                target = text(facts.target)
                at = "" if target.startswith("/") else at
                parts += target.split("/")[::-1]
            else:
                raise _NotADirectoryError(f"{here} is not a directory, but there is an entry in it")
        return at

    def _place(self, member: Member, path: str) -> None:
        self._number += 1
        facts, place = member.facts._replace(inode=self._number), member.place
        if member.link:
            target = self._located(member.link)
            if target == path and (path in self._found or path in self._inner):
                return
            known = self._found.get(target)
            if known is None or stat.S_ISDIR(known[0].mode):
                raise DamagedError(
                    f"{member.path} is a hard link to {member.link}, which is not there"
                    if known is None
                    else f"{member.path} is a hard link to the directory {member.link}"
                )
            if target.startswith(f"{path}/"):
                raise DamagedError(
                    f"{member.path} is a hard link to {member.link}, which it replaces"
                )
            facts, place = known
        if path == "/" and not stat.S_ISDIR(facts.mode):
            raise DamagedError("its root is not a directory")
        old = self._found.get(path)
        if not stat.S_ISDIR(facts.mode) or (old and not stat.S_ISDIR(old[0].mode)):
            self._remove(path)
        if path not in self._found:
            self._note(path)
        self._found[path] = facts, place

    def _note(self, path: str) -> None:
        """Note that a path and its parents exist."""
        while path:
            parent = path.rpartition("/")[0]
            inner = self._inner.setdefault(parent, set())
            if path in inner:
                return
            inner.add(path)
            path = parent

    def _remove(self, path: str) -> None:
        """Remove a path and everything below it."""
        for inner in reversed(self._below(path)):
            self._forget(inner)

    def _below(self, path: str) -> list[str]:
        """Return a path and all paths below it, each after the directory that holds it."""
        found = [path]
        for directory in found:
            found += self._inner.get(directory, ())
        return found

    def _forget(self, path: str) -> None:
        self._found.pop(path, None)
        self._inner.pop(path, None)
        self._inner.get(path.rpartition("/")[0], set()).discard(path)
        if path in self._passed:
            self._known.clear()
            self._passed.clear()
