"""What of a root tree goes into an archive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from kiwinb.checkpoints.treescan import Entry, scan

MACHINERY = ("image", ".profile", ".kconfig", ".buildenv", "var/cache/kiwi")
"""What a build leaves in the tree for itself."""

VIRTUAL = ("dev/*", "proc/*", "sys/*")
"""What the kernel fills in a running system."""

TEMPORARY = ("run/*", "tmp/*")
"""What is empty when a system starts."""

_HOST_ATTRIBUTES = ("trusted.", "user.overlay.")


def select(root: Path, exclude: Sequence[str] = (), *, contents: bool = False) -> tuple[Entry, ...]:
    """List a tree, sorted by path, the directory of an entry before the entry.

    Left out are sockets, and the extended attributes that belong to the file system of the host.

    Args:
        root: The tree.
        exclude: Paths relative to it, with what is below them; ``dir/*`` keeps ``dir`` itself.
        contents: Hash what is in the files.
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
    """Hard links name the first path that is there."""
    first: dict[bytes, bytes] = {}
    for entry in entries:
        xattrs = tuple(item for item in entry.xattrs if not item[0].startswith(_HOST_ATTRIBUTES))
        link = first.setdefault(entry.link, entry.path) if entry.link else b""
        yield replace(entry, xattrs=xattrs, link=link)
