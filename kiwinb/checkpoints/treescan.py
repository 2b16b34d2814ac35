"""A root tree as a sorted list of entries: what it holds, not where or when it was written.

Two trees whose lists are equal are the same to every file system and archive
made from them, modification times aside. A stand-in for a device node
(:mod:`kiwinb.sandbox.devices`) is listed as the device.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from kiwinb.sandbox.devices import DEVICE_ATTRIBUTE, read_device

Kind = Literal["file", "directory", "symlink", "fifo", "socket", "char", "block"]

_KINDS: dict[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}
_LEFT_OUT = frozenset({DEVICE_ATTRIBUTE, "security.selinux"})  # a label is the host's policy


@dataclass(frozen=True)
class Entry:
    """One file, directory, link or node of a tree.

    Attributes:
        path: Relative to the root, which is ``b"."`` itself.
        kind: What it is.
        mode: Permission bits, 0 to 0o7777.
        uid: Owner.
        gid: Group.
        size: Length of a file in bytes; 0 for everything else.
        sha256: Of a file's content; empty for everything else, or when not asked for.
        target: Of a symbolic link.
        device: Major and minor number of a device node.
        xattrs: Extended attributes by name, SELinux labels left out.
        link: The first path, in order, of the tree's hard links to it; empty if there is one path.
    """

    path: bytes
    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int = 0
    sha256: str = ""
    target: bytes = b""
    device: tuple[int, int] | None = None
    xattrs: tuple[tuple[str, bytes], ...] = ()
    link: bytes = b""


def scan(root: Path, *, contents: bool = True) -> tuple[Entry, ...]:
    """List a tree, sorted by path.

    Of a tree with owners out of a user namespace, call it in a worker.

    Args:
        root: The tree.
        contents: Hash what is in the files.
    """
    top = os.fsencode(root)
    found = sorted(_walk(top, b""))
    first: dict[tuple[int, int], bytes] = {}
    count: dict[tuple[int, int], int] = {}
    for path, status in found:
        inode = (status.st_dev, status.st_ino)
        first.setdefault(inode, path)
        count[inode] = count.get(inode, 0) + 1
    hashes: dict[tuple[int, int], str] = {}
    entries = []
    for path, status in found:
        inode = (status.st_dev, status.st_ino)
        linked = not stat.S_ISDIR(status.st_mode) and count[inode] > 1
        full = os.path.join(top, path)  # noqa: PTH118 - bytes
        device = read_device(full, status)
        kind = _KINDS[stat.S_IFMT(status.st_mode)]
        if device is not None:
            kind = "char" if device.kind == "c" else "block"
        if kind == "file" and contents and inode not in hashes:
            hashes[inode] = _sha256(full)
        entries.append(
            Entry(
                path=path or b".",
                kind=kind,
                mode=stat.S_IMODE(status.st_mode),
                uid=status.st_uid,
                gid=status.st_gid,
                size=status.st_size if kind == "file" else 0,
                sha256=hashes.get(inode, "") if kind == "file" else "",
                target=os.readlink(full) if kind == "symlink" else b"",  # noqa: PTH115 - bytes
                device=(device.major, device.minor) if device else None,
                xattrs=_xattrs(full),
                link=first[inode] if linked else b"",
            )
        )
    return tuple(entries)


def compare(one: Iterable[Entry], other: Iterable[Entry]) -> tuple[str, ...]:
    """Say how two trees differ, one line for each difference; empty when they do not."""
    left = {entry.path: entry for entry in one}
    right = {entry.path: entry for entry in other}
    lines = []
    for path in sorted(left.keys() | right.keys()):
        name = path.decode("utf-8", "backslashreplace").encode("unicode_escape").decode()
        if path not in right:
            lines.append(f"{name}: only in the first")
        elif path not in left:
            lines.append(f"{name}: only in the second")
        else:
            lines += [f"{name}: {text}" for text in _differences(left[path], right[path])]
    return tuple(lines)


def _differences(one: Entry, other: Entry) -> Iterator[str]:
    for item in fields(Entry):
        a, b = getattr(one, item.name), getattr(other, item.name)
        if a != b:
            show = oct if item.name == "mode" else repr
            yield f"{item.name} {show(a)} and {show(b)}"


def to_json(entries: Sequence[Entry]) -> str:
    """Entries as text, one JSON object on a line."""
    return "".join(json.dumps(asdict(entry), default=_from_bytes) + "\n" for entry in entries)


def from_json(text: str) -> tuple[Entry, ...]:
    """Entries from the text that :func:`to_json` makes."""
    return tuple(_entry(json.loads(line)) for line in text.splitlines())


def _entry(data: dict[str, Any]) -> Entry:
    data |= {name: data[name].encode("latin-1") for name in ("path", "target", "link")}
    data["device"] = tuple(data["device"]) if data["device"] else None
    data["xattrs"] = tuple((name, value.encode("latin-1")) for name, value in data["xattrs"])
    return Entry(**data)


def _from_bytes(value: bytes) -> str:
    return value.decode("latin-1")


def _walk(top: bytes, relative: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    if not relative:
        yield relative, os.lstat(top)
    with os.scandir(os.path.join(top, relative)) as entries:  # noqa: PTH118 - bytes
        for entry in entries:
            path = os.path.join(relative, entry.name)  # noqa: PTH118 - bytes
            yield path, entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(top, path)


def _xattrs(path: bytes) -> tuple[tuple[str, bytes], ...]:
    return tuple(
        (name, os.getxattr(path, name, follow_symlinks=False))
        for name in sorted(os.listxattr(path, follow_symlinks=False))
        if name not in _LEFT_OUT
    )


def _sha256(path: bytes) -> str:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - bytes
        return hashlib.file_digest(file, "sha256").hexdigest()
