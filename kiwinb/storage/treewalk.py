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
    """List a tree in depth-first order, with the names of each directory sorted by their bytes.

    So everything in a directory directly follows it. GNU tar and cpio rely on this: they set the
    time and mode of a directory as soon as an archive leaves it. The list leaves out extended
    attributes that belong to the host's file system.

    Args:
        root: The tree.
        exclude: Paths to leave out with everything below them, relative to the tree. ``dir/*``
            leaves out the content of ``dir``, but keeps ``dir`` itself.
        contents: Whether to hash the content of files.
    """
    left_out = _matcher(exclude)
    scanned = sorted(scan(root, contents=contents), key=_by_part)
    entries = (entry for entry in scanned if not left_out(entry.path))
    return tuple(_relinked(entries))


def _by_part(entry: Entry) -> bytes:
    """Sort key that compares paths part by part; no name holds a zero byte."""
    return b"" if entry.path == b"." else entry.path.replace(b"/", b"\0")


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
