"""What a command read: the paths that it looked up, and the links that it made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
