"""Select the entries of a root tree that go into an image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from kiwinb.checkpoints.treescan import Entry, scan

MACHINERY = ("image", ".profile", ".kconfig", ".buildenv", "var/cache/kiwi")
"""Paths in the tree that only the build uses."""

VIRTUAL = ("dev/*", "proc/*", "sys/*")
"""Content of directories that the kernel fills in a running system."""

TEMPORARY = ("run/*", "tmp/*")
"""Content of directories that are empty when a system starts."""

_HOST_ATTRIBUTES = ("trusted.", "user.overlay.")


def select(root: Path, exclude: Sequence[str] = (), *, contents: bool = False) -> tuple[Entry, ...]:
    """List a tree, sorted by path, with each directory before its content.

    The list leaves out sockets, and extended attributes that belong to the host's file system.

    Args:
        root: The tree.
        exclude: Paths to leave out with everything below them, relative to the tree. ``dir/*``
            leaves out the content of ``dir``, but keeps ``dir`` itself.
        contents: Whether to hash the content of files.
    """
    left_out = _matcher(exclude)
    entries = (entry for entry in scan(root, contents=contents) if not left_out(entry.path))
    return tuple(_relinked(entry for entry in entries if entry.kind != "socket"))


def _matcher(exclude: Sequence[str]) -> Callable[[bytes], bool]:
    names = [pattern.encode() for pattern in exclude]
    whole = frozenset(name for name in names if not name.endswith(b"/*"))
    below = tuple(name.removesuffix(b"/*") + b"/" for name in names)
    return lambda path: path in whole or path.startswith(below)


def _relinked(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Drop attributes of the host, and let hard links name the first path that is in the list."""
    first: dict[bytes, bytes] = {}
    for entry in entries:
        xattrs = tuple(item for item in entry.xattrs if not item[0].startswith(_HOST_ATTRIBUTES))
        link = first.setdefault(entry.link, entry.path) if entry.link else b""
        yield replace(entry, xattrs=xattrs, link=link)
