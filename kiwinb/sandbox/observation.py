"""Observations of a command: the paths that it read, and the links that it made."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path


class Kind(StrEnum):
    """What a command reads of a path; the values are used in files."""

    LOOKUP = "lookup"
    """Existence and metadata."""
    CONTENT = "content"
    """Also the content of a file, or the names in a directory."""
    LISTING = "listing"
    """Also the names in a directory."""
    ENTRY = "entry"
    """As LOOKUP, for a path that is created, changed or removed, which changes its directory."""
    TREE = "tree"
    """Also everything below the path, because it is moved."""


@dataclass(frozen=True, order=True)
class Access:
    """A path that was read.

    Attributes:
        path: Absolute path in the command's root directory, not normalised.
        kind: What was read of it.
        follow: Whether a symbolic link at the path itself was followed.
        root: Directory at which the path starts; ``/`` for the command's own root directory.
    """

    path: bytes
    kind: Kind
    follow: bool = True
    root: bytes = b"/"


@dataclass(frozen=True, order=True)
class Link:
    """Another path that the command made for a file: a symbolic or hard link, or a new name.

    Attributes:
        path: The new path, absolute in the command's root directory.
        target: The other path, as the target of a symbolic link.
        root: As for :class:`Access`.
    """

    path: bytes
    target: bytes
    root: bytes = b"/"


@dataclass(frozen=True)
class Observation:
    """All that a command read.

    Attributes:
        accesses: The paths that it read, sorted by path.
        links: The links that it made, in order.
        notifications: Number of observed system calls.
        incomplete: Why it may have read more than this; empty if the observation is complete.
    """

    accesses: tuple[Access, ...] = ()
    links: tuple[Link, ...] = ()
    notifications: int = 0
    incomplete: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether everything that the command read is known."""
        return not self.incomplete

    def __or__(self, other: Observation) -> Observation:
        """Combine the observations of two commands."""
        return Observation(
            tuple(sorted({*self.accesses, *other.accesses})),
            tuple(dict.fromkeys((*self.links, *other.links))),
            self.notifications + other.notifications,
            tuple(sorted({*self.incomplete, *other.incomplete})),
        )

    def inside(self, tree: Path) -> Observation:
        """Return the part of the observation that concerns a tree.

        Args:
            tree: Path of the tree in the command's root directory, without symbolic links.

        Returns:
            The accesses and links in the tree, by programs inside and outside of it, with paths
            as programs inside see them.
        """
        top = os.fsencode(tree)
        accesses, links = set(), dict[Link, None]()
        for access in self.accesses:
            if (place := _inside(top, access.root, access.path)) is not None:
                accesses.add(replace(access, root=place[0], path=place[1]))
        for link in self.links:
            if (place := _inside(top, link.root, link.path)) is not None:
                target = link.target
                if link.root == b"/" and (found := _inside(top, b"/", target)):
                    target = found[1]
                links[Link(place[1], target, place[0])] = None
        return replace(self, accesses=tuple(sorted(accesses)), links=tuple(links))


def _inside(tree: bytes, root: bytes, path: bytes) -> tuple[bytes, bytes] | None:
    """Return root and path as seen in a tree; ``None`` if the path is not in it."""
    if root == tree:
        return b"/", path
    if root.startswith(tree + b"/"):
        return root[len(tree) :], path
    if root != b"/":
        return None
    if b".." in path.split(b"/") or b"//" in path or b"/./" in path:
        path = posixpath.normpath(path)
    if path == tree:
        return b"/", b"/"
    return (b"/", path[len(tree) :]) if path.startswith(tree + b"/") else None
