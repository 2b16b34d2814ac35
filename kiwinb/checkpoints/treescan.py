"""A root tree as a sorted list of entries, independent of its location and times.

If the lists of two trees are equal, so are all file systems and archives made from them, except
for modification times. A stand-in for a device node (:mod:`kiwinb.sandbox.devices`) is listed as
the device.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from kiwinb.sandbox.devices import DEVICE_ATTRIBUTE, read_device
from kiwinb.sandbox.holes import pieces
from kiwinb.sandbox.reach import Reach
from kiwinb.visible import visible

Kind = Literal["file", "directory", "symlink", "fifo", "socket", "char", "block"]

KIND_OF: Mapping[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}
"""What an entry is, by the file type bits of its mode."""

Found = tuple[bytes, os.stat_result]
"""A path of a tree, relative to its top, and its metadata."""

_LARGE = 1 << 20
_NAME_ROOM = 256  # bytes of a slash and the longest name
_Inode = tuple[int, int]
_LEFT_OUT = frozenset({DEVICE_ATTRIBUTE, "security.selinux"})  # labels are policy of the host


@dataclass(frozen=True)
class Entry:
    """One file, directory, link or node of a tree.

    Attributes:
        path: Relative to the root, which is ``b"."`` itself.
        kind: Its type.
        mode: Permission bits, 0 to 0o7777.
        uid: Owner.
        gid: Group.
        size: Length of a file in bytes; 0 for everything else.
        sha256: SHA-256 of a file's content; empty for everything else, or if not asked for.
        target: Target of a symbolic link.
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


@dataclass(frozen=True)
class Survey:
    """A tree and its size.

    Attributes:
        entries: Its entries, sorted by path.
        bytes: Its disk usage; each inode counts once.
        found: Each path, relative to the top, and its metadata.
    """

    entries: tuple[Entry, ...]
    bytes: int
    found: tuple[Found, ...]


def scan(root: Path, *, contents: bool = True) -> tuple[Entry, ...]:
    """List a tree, sorted by path.

    If a user namespace maps the owners of the tree, call this in a worker.

    Args:
        root: The tree.
        contents: Hash the contents of files.
    """
    return survey(root, contents=contents).entries


def survey(root: Path, *, contents: bool = True) -> Survey:
    """List a tree and measure its disk usage; see :func:`scan`."""
    top = os.fsencode(root)
    found = sorted(walk(top), key=lambda item: item[0])
    groups: dict[_Inode, list[bytes]] = {}
    for path, status in found:
        groups.setdefault((status.st_dev, status.st_ino), []).append(path)
    files = {
        (status.st_dev, status.st_ino): (path, status)
        for path, status in found
        if contents and stat.S_ISREG(status.st_mode)
    }
    hashes = _hash_all(top, files)
    entries = []
    reach = Reach(top)
    for path, status in found:
        inode = (status.st_dev, status.st_ino)
        linked = not stat.S_ISDIR(status.st_mode) and len(groups[inode]) > 1
        full = reach.path(path)
        device = read_device(full, status)
        kind = KIND_OF[stat.S_IFMT(status.st_mode)]
        if device is not None:
            kind = "char" if device.kind == "c" else "block"
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
                link=groups[inode][0] if linked else b"",
            )
        )
    reach.close()
    blocks = {(status.st_dev, status.st_ino): status.st_blocks for path, status in found if path}
    return Survey(tuple(entries), sum(blocks.values()) * 512, tuple(found))


def compare(one: Iterable[Entry], other: Iterable[Entry]) -> tuple[str, ...]:
    """The differences of two trees, one line each."""
    left = {entry.path: entry for entry in one}
    right = {entry.path: entry for entry in other}
    lines = []
    for path in sorted(left.keys() | right.keys()):
        name = visible(os.fsdecode(path))
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
            yield f"{item.name} {_shown(item.name, a)} and {_shown(item.name, b)}"


def _shown(name: str, value: Any) -> str:
    if name == "sha256" and value:
        return f"{value[:12]}…"
    return oct(value) if name == "mode" else repr(value)


def to_json(entries: Sequence[Entry]) -> str:
    """Entries as text, one JSON object on a line."""
    encode = json.JSONEncoder(default=_from_bytes).encode
    return "".join(f"{encode(vars(entry))}\n" for entry in entries)


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


def walk(top: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    """Yield each path of a tree, relative to its top, and its metadata; the top is ``b""``."""
    yield b"", os.lstat(top)
    pending = [b""]
    with Reach(top) as reach:
        while pending:
            relative = pending.pop()
            with os.scandir(reach.path(relative, room=_NAME_ROOM)) as entries:
                for entry in entries:
                    path = os.path.join(relative, entry.name)  # noqa: PTH118 - bytes
                    yield path, entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(path)


def _xattrs(path: bytes) -> tuple[tuple[str, bytes], ...]:
    return tuple(
        (name, os.getxattr(path, name, follow_symlinks=False))
        for name in sorted(os.listxattr(path, follow_symlinks=False))
        if name not in _LEFT_OUT
    )


def _hash_all(
    top: bytes, files: Mapping[_Inode, tuple[bytes, os.stat_result]]
) -> dict[_Inode, str]:
    """SHA-256 of each file; hashes large files in parallel, because hashing releases the GIL."""
    with Reach(top) as reach:
        large = {
            key: (reach.path(path), status)
            for key, (path, status) in files.items()
            if status.st_size >= _LARGE and not reach.is_long(path)
        }
        if len(large) > 1:
            from concurrent.futures import ThreadPoolExecutor  # most trees need none; it is slow

            with ThreadPoolExecutor(min(len(large), len(os.sched_getaffinity(0)))) as pool:
                hashes = dict(
                    zip(large, pool.map(lambda file: sha256(*file), large.values()), strict=True)
                )
        else:
            hashes = {key: sha256(*file) for key, file in large.items()}
        for key, (path, status) in files.items():
            if key not in large:
                hashes[key] = sha256(reach.path(path), status)
        return hashes


def sha256(path: bytes, status: os.stat_result) -> str:
    """SHA-256 of a file, in hexadecimal; does not read its holes.

    Args:
        path: The file.
        status: Result of stat(2) for the file.
    """
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - bytes
        if status.st_blocks * 512 >= status.st_size:
            return hashlib.file_digest(file, "sha256").hexdigest()
        return _sha256_sparse(file.fileno(), status.st_size)


def _sha256_sparse(descriptor: int, size: int) -> str:
    found = hashlib.sha256()
    try:
        for piece in pieces(descriptor, size):
            found.update(piece)
    except EOFError:
        raise OSError(errno.EIO, "the file became shorter while it was read") from None
    return found.hexdigest()
