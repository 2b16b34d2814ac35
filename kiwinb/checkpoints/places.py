"""Places in a root tree, and the part of their state that a command read."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from kiwinb.checkpoints.overlay import PRIVATE
from kiwinb.checkpoints.treescan import KIND_OF

MOUNTED: Final = frozenset({b"proc", b"sys", b"dev", b"run"})
"""Top-level directories that have other file systems mounted on them while a command runs."""

_NOT_SEEN = (*PRIVATE, "security.selinux")
_LONGEST = 4096  # PATH_MAX
NODE, METADATA, CONTENT, NAMES = 0, 1, 2, 4
"""What is wanted of a place; NODE is what decides who may go through a directory."""

Digest = Callable[[Path], str]


@dataclass(frozen=True)
class State:
    """The state of one place in a tree; an attribute that was not read is ``None``.

    Attributes:
        kind: ``"file"``, ``"directory"``, ``"symlink"``..., or ``"absent"``.
        mode: Permission bits.
        uid: User ID of the owner.
        gid: Group ID.
        size: Size of a file in bytes.
        target: Target of a symbolic link.
        xattrs: Digest of the extended attributes; empty if there are none.
        digest: SHA-256 of a file's content, or of the sorted names in a directory.
        mtime: Modification time in nanoseconds; compared only on request.
        links: Number of hard links to a file.
        device: Number of a device node.
    """

    kind: str
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    target: bytes | None = None
    xattrs: str | None = None
    digest: str | None = None
    mtime: int | None = None
    links: int | None = None
    device: int | None = None


ABSENT: Final = State("absent")


class Tree:
    """A root tree.

    All paths are relative to its root, and no directory in them is a symbolic link.

    Args:
        root: Path of the tree.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.fsencode(root).rstrip(b"/") + b"/"
        self._statuses: dict[bytes, os.stat_result | None] = {}

    def status(self, path: bytes) -> os.stat_result | None:
        """Return the metadata of a place; ``None`` if nothing is there."""
        try:
            return self._statuses[path]
        except KeyError:
            pass
        status = None
        full = self._root + path
        try:
            status = os.lstat(full)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG or len(full) >= _LONGEST:
                raise  # the file system could have the name, but not below this root
        self._statuses[path] = status
        return status

    def link(self, path: bytes) -> bytes:
        """Return the target of a symbolic link."""
        return os.readlink(self._root + path)  # noqa: PTH115 - bytes

    def names(self, path: bytes) -> list[bytes]:
        """Return the names in a directory."""
        return os.listdir(self._root + path)  # noqa: PTH208 - bytes

    def state(self, path: bytes, wanted: int, digest: Digest | None) -> State:
        """Return the wanted part of the state of a place.

        Args:
            path: The place.
            wanted: ``NODE``, or a combination of ``METADATA``, ``CONTENT`` and ``NAMES``.
            digest: Called for the digest of a file's content; by default, that of the file's bytes.
        """
        status = self.status(path)
        if status is None:
            return ABSENT
        kind = KIND_OF[stat.S_IFMT(status.st_mode)]
        if kind == "symlink":  # without a target it says nothing
            wanted |= METADATA
        whole = bool(wanted & METADATA)
        state = State(
            kind,
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_size if whole and kind == "file" else None,
            self.link(path) if kind == "symlink" else None,
            _xattrs(self._root + path),
            None,
            status.st_mtime_ns if whole else None,
            status.st_nlink if whole and kind == "file" else None,
            status.st_rdev if kind in ("char", "block") else None,
        )
        if wanted & CONTENT and kind == "file":
            place = Path(os.fsdecode(self._root + path))
            return replace(state, digest=(digest or hash_file)(place))
        if wanted & (NAMES | CONTENT) and kind == "directory":
            return replace(state, digest=self._names(path))
        return state

    def _names(self, path: bytes) -> str:
        names = self.names(path)
        if not path:
            names = [name for name in names if name not in MOUNTED]
        return _short(hashlib.sha256(b"\0".join(sorted(names))))


def _xattrs(path: bytes) -> str:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return ""
    names = sorted(name for name in names if not name.startswith(_NOT_SEEN))
    if not names:
        return ""
    total = hashlib.sha256()
    for name in names:
        value = os.getxattr(path, name, follow_symlinks=False)
        total.update(b"%d:%b%d:%b" % (len(name), os.fsencode(name), len(value), value))
    return _short(total)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in the form of :attr:`State.digest`."""
    with path.open("rb", buffering=0) as file:
        return _short(hashlib.file_digest(file, "sha256"))


def _short(total: Any) -> str:
    return short_digest(total.digest())


def short_digest(digest: bytes) -> str:
    """Return a digest as text, in the form of :attr:`State.digest`."""
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def above(path: bytes) -> Iterator[bytes]:
    """Yield the directories that a path is in, from the innermost to the root."""
    while path:
        path = path.rpartition(b"/")[0]
        yield path


def to_row(path: bytes, state: State) -> list[Any]:
    """Return a place and its state as JSON values, without the unknown ones at the end."""
    row = [
        os.fsdecode(path),
        state.kind,
        state.mode,
        state.uid,
        state.gid,
        state.mtime,
        state.size,
        None if state.target is None else os.fsdecode(state.target),
        state.xattrs,
        state.digest,
        state.links,
        state.device,
    ]
    while row[-1] is None:
        row.pop()
    return row


def from_row(row: list[Any]) -> tuple[bytes, State]:
    """Return the place and the state that :func:`to_row` wrote."""
    path, kind, mode, uid, gid, mtime, size, target, *rest = row + [None] * (12 - len(row))
    xattrs, digest, links, device = rest
    link = None if target is None else os.fsencode(target)
    state = State(kind, mode, uid, gid, size, link, xattrs, digest, mtime, links, device)
    return os.fsencode(path), state
