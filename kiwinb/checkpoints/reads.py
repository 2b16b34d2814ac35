"""Record what a command read of a root tree, and compare another tree in all of these places.

:mod:`kiwinb.sandbox.observe` reports the paths that the command accessed. This module resolves them
in the tree that the command started with, and records the state of each place to which they lead.
Each symbolic link on the way is a place that was read, too. Mounted file systems are not part of
the tree. If the command read a file that it had made itself, the file is absent in the tree; it has
to be absent in another tree, too.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from kiwinb.checkpoints.places import (
    ABSENT,
    CONTENT,
    METADATA,
    MOUNTED,
    NAMES,
    NODE,
    Digest,
    State,
    Tree,
    above,
    from_row,
    to_row,
)
from kiwinb.sandbox.observation import Access, Kind, Link
from kiwinb.sandbox.supervisor import MAGIC

_FORMAT = 3
_MAXIMUM_LINKS = 40  # as in path_resolution(7)
_MAXIMUM_WAYS = 300
_WANTED: Final = {
    Kind.LOOKUP: METADATA,
    Kind.CONTENT: METADATA | CONTENT,
    Kind.LISTING: METADATA | NAMES,
    Kind.ENTRY: METADATA,
    Kind.TREE: METADATA | CONTENT,
}


@dataclass(frozen=True)
class Reads:
    """What was read of a tree.

    Attributes:
        states: The state of each place, by its path relative to the root. No directory in a path
            is a symbolic link; ``b""`` is the root.
        twins: Groups of paths that were read and are hard links to the same file.
    """

    states: Mapping[bytes, State] = field(default_factory=dict)
    twins: tuple[tuple[bytes, ...], ...] = ()

    def to_json(self) -> str:
        """Return the reads as text, with a short row for each path."""
        rows = [to_row(path, state) for path, state in sorted(self.states.items())]
        twins = [[os.fsdecode(path) for path in paths] for paths in self.twins]
        data = {"format": _FORMAT, "reads": rows, "twins": twins}
        return json.dumps(data, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Reads:
        """Return the reads that :meth:`to_json` wrote.

        Raises:
            ValueError: The text is something else.
        """
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("format") != _FORMAT:
            raise ValueError("not a list of reads")
        try:
            twins = tuple(tuple(map(os.fsencode, paths)) for paths in data["twins"])
            return cls(dict(map(from_row, data["reads"])), twins)
        except (LookupError, TypeError) as error:
            raise ValueError(f"not a list of reads: {error}") from error


def record(tree_root: Path, accesses: Iterable[Access], links: Iterable[Link] = ()) -> Reads:
    """Record the state of everything that a command read, in the tree as it was before.

    Args:
        tree_root: The tree that the command started with.
        accesses: The paths that the command read.
        links: The links that the command made. A path through one of them leads to files of the
            tree, too.

    Raises:
        ValueError: It is not certain where an access leads.
        OSError: A place cannot be read.
    """
    walk = _Walk(Tree(tree_root))
    for link in links:
        walk.add_link(link)
    for access in accesses:
        walk.add(access)
    states: dict[bytes, State] = {}
    for path, wanted in sorted(walk.wanted.items()):
        if not any(states.get(directory) == ABSENT for directory in above(path)):
            states[path] = walk.tree.state(path, wanted, None)
    linked = [path for path, state in states.items() if (state.links or 0) > 1]
    return Reads(states, _twins(walk.tree, linked))


@dataclass(frozen=True)
class Changed:
    """The places in which two trees may differ; they are the same everywhere else.

    Attributes:
        paths: Places that may differ, relative to the root.
        below: Directories below which everything may differ.
        directories: Directories in which the names may differ: those of ``paths``, and ``below``.
    """

    paths: frozenset[bytes]
    below: frozenset[bytes] = frozenset()
    directories: frozenset[bytes] = field(init=False)

    def __post_init__(self) -> None:
        directories = frozenset(path.rpartition(b"/")[0] for path in self.paths)
        object.__setattr__(self, "directories", directories | self.below)

    def concerns(self, path: bytes, state: State) -> bool:
        """Whether a place with this state in one tree may be different in the other."""
        if path in self.paths:
            return True
        if self.below and any(directory in self.below for directory in above(path)):
            return True
        if state.kind == "directory":
            return state.digest is not None and path in self.directories
        # what is absent may be there now by way of a new link
        return state.kind == "absent" and any(directory in self.paths for directory in above(path))


def same(
    tree_root: Path,
    reads: Reads,
    *,
    changed: Changed | None = None,
    mtimes: bool = False,
    digest: Digest | None = None,
) -> str | None:
    """Compare a tree with another one in all places that were read there.

    Args:
        tree_root: The tree.
        reads: What was read of the other tree.
        changed: The places in which the two may differ; ``None`` if they are not known.
        mtimes: Whether to compare modification times, too.
        digest: Returns the digest of a file, in the form of :attr:`State.digest`; callers pass it
            if they know a faster way than to read the file.

    Returns:
        The first path that differs, for example ``/etc/fstab``; ``None`` if none does.
    """
    tree = Tree(tree_root)
    for path in sorted(reads.states):  # a directory comes before what is in it
        state = reads.states[path]
        if changed is not None and not changed.concerns(path, state):
            continue
        if not _is_same(tree, path, state, mtimes, digest):
            return "/" + os.fsdecode(path)
    linked = [path for paths in reads.twins for path in paths]
    if linked and set(_twins(tree, linked)) != set(reads.twins):
        return "/" + os.fsdecode(linked[0])
    return None


def _twins(tree: Tree, paths: Iterable[bytes]) -> tuple[tuple[bytes, ...], ...]:
    """Group paths by the file that they lead to."""
    by_file: dict[tuple[int, int], list[bytes]] = {}
    for path in paths:
        if (status := tree.status(path)) is not None:
            by_file.setdefault((status.st_dev, status.st_ino), []).append(path)
    return tuple(sorted(tuple(sorted(found)) for found in by_file.values()))


def _is_same(tree: Tree, path: bytes, before: State, mtimes: bool, digest: Digest | None) -> bool:
    if before.kind == "absent":
        return _is_absent(tree, path)
    wanted = NODE if before.mtime is None else METADATA
    now = tree.state(path, wanted, digest)
    expected = replace(before, digest=None)
    if not mtimes:
        now, expected = replace(now, mtime=None), replace(expected, mtime=None)
    if now != expected:
        return False
    if before.digest is None:
        return True
    kind = NAMES if before.kind == "directory" else CONTENT
    return tree.state(path, kind, digest).digest == before.digest


def _is_absent(tree: Tree, path: bytes) -> bool:
    """Whether a path leads nowhere, even if symbolic links in the tree are followed."""
    parts = path.split(b"/")
    for count in range(1, len(parts) + 1):
        status = tree.status(b"/".join(parts[:count]))
        if status is None:
            return True
        if not stat.S_ISDIR(status.st_mode):
            break
    walk = _Walk(tree)
    found = walk.resolve(Access(b"/" + path, Kind.LOOKUP, follow=False))
    return not _is_mounted(found) and tree.status(found) is None


class _Walk:
    """Finds the places in a tree to which accesses lead, and collects what is wanted of each."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.wanted: dict[bytes, int] = {}
        self._made: dict[bytes, dict[bytes, None]] = {}
        self._other_ways: dict[bytes, None] = {}

    def add_link(self, link: Link) -> None:
        """Take a link into account that the command made, and that is not in the tree."""
        place = self.resolve(Access(link.path, Kind.LOOKUP, False, link.root))
        targets = {link.target: None}
        if link.target.startswith(b"/"):  # of a link that was moved, its own target counts, too
            old = self.resolve(Access(link.target, Kind.LOOKUP, False, link.root))
            targets.update(self._made.get(old, {}))
        self._made.setdefault(place, {}).update(targets)

    def add(self, access: Access) -> None:
        """Want what an access read, in every place to which it may have led."""
        self._other_ways = {}
        self._add(access)
        done = {access.path}
        while self._other_ways:
            path = self._other_ways.popitem()[0]
            if path not in done:
                if len(done) == _MAXIMUM_WAYS:
                    raise ValueError(f"too many ways to {os.fsdecode(access.path)}")
                done.add(path)
                self._add(replace(access, path=path))

    def _add(self, access: Access) -> None:
        place = self.resolve(access)
        if _is_mounted(place):
            return
        self._want(place, _WANTED[access.kind])
        if access.kind is Kind.ENTRY:
            for directory in above(place):  # in one that is absent, nothing can be made
                self._want(directory, METADATA)
        elif access.kind is Kind.TREE:
            self._want_all(place)

    def resolve(self, access: Access) -> bytes:
        """Return the place to which an access leads, and want each place on the way there.

        In mounted file systems, it follows only the links that the command made.
        """
        start = _split(access.root)
        at = start[::-1]
        parts = _split(access.path)
        follow = access.follow or access.path.endswith((b"/", b"/."))
        links, gone = 0, False
        while parts:
            part = parts.pop()
            if part == b"..":
                if len(at) > len(start):
                    at.pop()
                gone = False
                continue
            at.append(part)
            here = b"/".join(at)
            if here in self._made and (parts or follow):
                self._branch(at, parts, len(start))
            if at[0] in MOUNTED:
                if (magic := MAGIC.match(b"/" + b"/".join(at + parts[::-1]))) and magic[1]:
                    raise ValueError(f"a path through {os.fsdecode(access.path)}")
                continue
            status = None if gone else self.tree.status(here)
            if status is None:  # made by the command, perhaps: what is in it may lead back
                if b".." in parts and not gone:
                    self._want(here, METADATA)
                gone = True
                continue
            if stat.S_ISLNK(status.st_mode) and (parts or follow):
                self._want(here, METADATA)
                links += 1
                if links > _MAXIMUM_LINKS:
                    return here
                target = self.tree.link(here)
                at = start[::-1] if target.startswith(b"/") else at[:-1]
                parts += _split(target)
            elif parts:
                self._want(here, NODE)
                if not stat.S_ISDIR(status.st_mode):
                    return here
        return b"/".join(at)

    def _branch(self, at: list[bytes], parts: list[bytes], depth: int) -> None:
        rest = b"/".join(parts[::-1])
        for target in self._made[b"/".join(at)]:
            start = b"" if target.startswith(b"/") else b"/" + b"/".join(at[depth:-1]) + b"/"
            self._other_ways[start + target + b"/" * bool(rest) + rest] = None

    def _want(self, place: bytes, what: int) -> None:
        self.wanted[place] = self.wanted.get(place, 0) | what

    def _want_all(self, top: bytes) -> None:
        pending = [top]
        while pending:
            directory = pending.pop()
            status = self.tree.status(directory)
            if status is not None and stat.S_ISDIR(status.st_mode):
                for name in self.tree.names(directory):
                    place = directory + b"/" + name
                    self._want(place, METADATA | CONTENT)
                    pending.append(place)


def _is_mounted(place: bytes) -> bool:
    return place.partition(b"/")[0] in MOUNTED


def _split(path: bytes) -> list[bytes]:
    """Return the parts of a path, in reverse order."""
    return [part for part in path.split(b"/") if part not in (b"", b".")][::-1]
