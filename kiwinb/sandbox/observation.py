"""What a command read: the paths that it looked up, and the links that it made."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path


class Kind(StrEnum):
    """What is read of a path; an attribute's value is its short name in files."""

    LOOKUP = "lookup"
    """Whether it is there, and its metadata."""
    CONTENT = "content"
    """What is in the file, or the names in the directory, too."""
    LISTING = "listing"
    """The names in the directory, too."""
    ENTRY = "entry"
    """As LOOKUP, of a path that is made, changed or removed; its directories change with it."""
    TREE = "tree"
    """All that is below it, too: it moves."""


@dataclass(frozen=True, order=True)
class Access:
    """One path that was read.

    Attributes:
        path: Absolute, in the root directory of the command; not normalised.
        kind: What was read of it.
        follow: Whether a symbolic link that the last part is was followed.
        root: The directory that the path starts from, if it is not the command's own root.
    """

    path: bytes
    kind: Kind
    follow: bool = True
    root: bytes = b"/"


@dataclass(frozen=True, order=True)
class Link:
    """A second way to a path that the command made: a symbolic or hard link, or a new name.

    Attributes:
        path: Where it is; absolute, in the root directory of the command.
        target: Where it leads to, as text of a symbolic link.
        root: As for :class:`Access`.
    """

    path: bytes
    target: bytes
    root: bytes = b"/"


@dataclass(frozen=True)
class Observation:
    """What a command read.

    Attributes:
        accesses: In the order of their paths.
        links: In the order in which they were made.
        notifications: How many system calls were seen.
        incomplete: Why there may be more that was read; empty when there is not.
    """

    accesses: tuple[Access, ...] = ()
    links: tuple[Link, ...] = ()
    notifications: int = 0
    incomplete: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all that was read is known."""
        return not self.incomplete

    def __or__(self, other: Observation) -> Observation:
        """What either of two commands read."""
        return Observation(
            tuple(sorted({*self.accesses, *other.accesses})),
            tuple(dict.fromkeys((*self.links, *other.links))),
            self.notifications + other.notifications,
            tuple(sorted({*self.incomplete, *other.incomplete})),
        )

    def inside(self, tree: Path) -> Observation:
        """What was read of a tree, by programs inside of it and by those outside.

        Args:
            tree: The tree, without symbolic links in its path, in the root directory of the
                command.

        Returns:
            The observation with paths as programs in the tree see them; everything outside of the
            tree is left out.
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
    """Root and path as seen in a tree; ``None`` if the place is not in it."""
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
