"""What a file system or an archive can hold; a tree with more is refused before it is filled."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from kiwinb.checkpoints.treescan import Entry, Kind
from kiwinb.errors import ImageError
from kiwinb.storage.filesystem.content import PROTECTION, Content, Flag, name_of, shown

EVERYTHING: frozenset[Kind] = frozenset(
    ("file", "directory", "symlink", "fifo", "socket", "char", "block")
)
_UNBOUNDED = 1 << 64

PATH_OF_TOOLS = 3840
"""Longest path that a tool of the host can read; the rest of 4095 bytes is for the tree's own.

If that is longer, because the store has a long path, less is left: :func:`check` takes it off.
"""

_LONGEST_PATH = 4095

SIZE_OF_TOOLS = 1 << 40
"""Largest file that a tool of the host reads in reasonable time, since it also reads holes."""

_NAMED_FLAGS = {Flag.IMMUTABLE: "immutable (chattr +i)", Flag.APPEND: "append-only (chattr +a)"}


@dataclass(frozen=True)
class Limits:
    """Limits of a file system or an archive.

    Attributes:
        name: What has the limits, in messages, such as ``ext4``.
        kinds: What it can hold.
        path: Longest path in bytes.
        names: Longest name in bytes.
        target: Longest target of a symbolic link in bytes.
        size: Largest file in bytes.
        links: Largest number of hard links to a file.
        subdirectories: Largest number of directories in a directory.
        major: Largest major number of a device node.
        minor: Largest minor number of a device node.
        owner: Largest number of an owner or a group.
        owners: Largest number of different owners and groups.
        times: Earliest and latest time, in seconds since 1970-01-01 UTC.
        attributes: Prefixes of extended attributes; ``None`` if all are kept, or if what is lost is
            reported by other means.
        flags: Whether it has the flags that ``chattr`` sets.
        remedy: What to do about a path that is refused.
    """

    name: str
    kinds: frozenset[Kind] = EVERYTHING
    path: int = _UNBOUNDED
    names: int = 255
    target: int = 4095
    size: int = (1 << 63) - 1
    links: int = _UNBOUNDED
    subdirectories: int = _UNBOUNDED
    major: int = (1 << 12) - 1
    minor: int = (1 << 20) - 1
    owner: int = (1 << 32) - 2
    owners: int = _UNBOUNDED
    times: tuple[int, int] = (-_UNBOUNDED, _UNBOUNDED)
    attributes: tuple[str, ...] | None = None
    flags: bool = True
    remedy: str = "Remove it from the root tree, or take another file system."


def check(content: Content, limits: Limits) -> None:
    """Check that a tree keeps the limits.

    Raises:
        ImageError: It does not; the message names the path and the limit.
    """
    if limits.path == PATH_OF_TOOLS:
        left = _LONGEST_PATH - len(os.fsencode(content.root)) - 1
        limits = replace(limits, path=min(limits.path, left))
    _check_owners(content, limits)
    subdirectories: Counter[bytes] = Counter()
    if limits.subdirectories < len(content.entries):
        subdirectories.update(
            os.path.dirname(entry.path) or b"."  # noqa: PTH120 - bytes
            for entry in content.entries[1:]
            if entry.kind == "directory"
        )
    for entry in content.entries:
        count = subdirectories[entry.path] if subdirectories else 0
        if _fits(entry, content, limits) and count <= limits.subdirectories:
            continue
        for problem in _problems(entry, content, limits):
            raise refused(limits, entry.path, problem)
        most = limits.subdirectories
        problem = f"it has {count} subdirectories, and {most} are the most"
        raise refused(limits, entry.path, problem)


def _check_owners(content: Content, limits: Limits) -> None:
    owners: set[int] = set()
    if limits.owners < 2 * len(content.entries):
        for entry in content.entries:
            owners |= {entry.uid, entry.gid}
            if len(owners) > limits.owners:
                problem = f"it belongs to one more owner or group than {limits.owners}, the most"
                raise refused(limits, entry.path, problem)


def _fits(entry: Entry, content: Content, limits: Limits) -> bool:
    """Tell quickly whether there are no problems with an entry."""
    path, (first, last) = entry.path, limits.times
    attributes, device = limits.attributes, entry.device
    return (
        entry.kind in limits.kinds
        and len(path) <= limits.path
        and (len(path) <= limits.names or len(name_of(entry)) <= limits.names)
        and len(entry.target) <= limits.target
        and entry.size <= limits.size
        and (entry.uid <= limits.owner and entry.gid <= limits.owner)
        and (device is None or (device[0] <= limits.major and device[1] <= limits.minor))
        and (not entry.link or content.links.get(path, 1) <= limits.links)
        and (attributes is None or all(name.startswith(attributes) for name, _ in entry.xattrs))
        and (limits.flags or not content.flags(entry) & PROTECTION)
        and first <= content.modified_ns(entry) // 10**9 <= last
    )


def _problems(entry: Entry, content: Content, limits: Limits) -> Iterator[str]:
    yield from _of_names(entry, limits)
    yield from _of_inode(entry, limits)
    yield from _of_facts(entry, content, limits)


def refused(limits: Limits, path: bytes, problem: str) -> ImageError:
    """Return the error for a path that cannot be held.

    Args:
        limits: The limits.
        path: The path.
        problem: What is beyond the limits, as the second half of a sentence.
    """
    return ImageError(f"{limits.name} cannot hold {_short(path)}: {problem}", remedy=limits.remedy)


def _short(path: bytes) -> str:
    """Format a path for a message; of a long one, its beginning and its end."""
    return shown(path) if len(path) <= 400 else f"{shown(path[:180])}…{shown(path[-180:])}"


def _of_names(entry: Entry, limits: Limits) -> Iterator[str]:
    if entry.kind not in limits.kinds:
        yield f"it is a {_KINDS[entry.kind]}"
    if len(entry.path) > limits.path:
        yield f"its path has {len(entry.path)} bytes, and {limits.path} are the most"
    if len(name_of(entry)) > limits.names:
        yield f"its name has {len(name_of(entry))} bytes, and {limits.names} are the most"
    if len(entry.target) > limits.target:
        yield (
            f"it is a symbolic link to a path of {len(entry.target)} bytes, "
            f"and {limits.target} are the most"
        )


_KINDS: dict[Kind, str] = {
    "char": "character device",
    "block": "block device",
    "symlink": "symbolic link",
    **{"file": "file", "directory": "directory", "fifo": "fifo", "socket": "socket"},
}


def _of_inode(entry: Entry, limits: Limits) -> Iterator[str]:
    if entry.size > limits.size:
        yield f"it has {entry.size} bytes, and {limits.size} are the most"
    major, minor = entry.device or (0, 0)
    if major > limits.major or minor > limits.minor:
        yield (
            f"its device numbers are {major}:{minor}, "
            f"and {limits.major}:{limits.minor} are the largest"
        )
    if max(entry.uid, entry.gid) > limits.owner:
        yield f"its owner is {entry.uid}:{entry.gid}, and {limits.owner} is the largest number"
    for name, _ in entry.xattrs:
        if limits.attributes is not None and not name.startswith(limits.attributes):
            yield f"it has the extended attribute {name}"


def _of_facts(entry: Entry, content: Content, limits: Limits) -> Iterator[str]:
    if limits.links < content.links.get(entry.path, 1):
        count = content.links[entry.path]
        yield f"it has {count} hard links, and {limits.links} are the most"
    flags = content.flags(entry)
    if flags & PROTECTION and not limits.flags:
        named = " and ".join(text for flag, text in _NAMED_FLAGS.items() if flags & flag)
        yield f"it is {named}"
    first, last = limits.times
    seconds = content.modified_ns(entry) // 10**9
    if not first <= seconds <= last:
        bound = (
            f"{_date(first)} is the earliest" if seconds < first else f"{_date(last)} is the latest"
        )
        yield f"its time is {_date(seconds)}, and {bound}"


def _date(seconds: int) -> str:
    try:
        return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}"
    except OverflowError:
        return f"{seconds} s after 1970"
