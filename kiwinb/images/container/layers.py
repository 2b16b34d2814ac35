"""Write the difference between two trees as a container layer, and apply layers to a tree.

Source of the format: the OCI Image Format Specification 1.0, "Image Layer Filesystem Changeset".
"""

from __future__ import annotations

import os
import posixpath
import shutil
import stat
import tarfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from kiwinb.checkpoints.treescan import Entry
from kiwinb.errors import ImageError
from kiwinb.images.tarball import TarWriter
from kiwinb.sandbox.decompress import BROKEN_STREAM
from kiwinb.sandbox.devices import DEVICE_ATTRIBUTE, make_device
from kiwinb.sandbox.holes import unpack_file
from kiwinb.sandbox.paths import resolve_in
from kiwinb.tar_entries import opened_tar, tar_entries

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_XATTR = "SCHILY.xattr."


def add_layer(archive: TarWriter, root: Path, entries: Sequence[Entry]) -> None:
    """Write a tree as a layer.

    Raises:
        ImageError: A name starts with ``.wh.``, which has a special meaning in layers, or a file
            became shorter while it was read.
    """
    for entry in entries:
        _add(archive, root, entry)


def _add(archive: TarWriter, root: Path, entry: Entry) -> None:
    if posixpath.basename(entry.path).startswith(_WHITEOUT.encode()):
        raise ImageError(
            f"/{os.fsdecode(entry.path)} cannot be in a container image",
            remedy="Rename it: in a layer, a name that starts with .wh. marks a removed file.",
        )
    archive.add_entry(root, entry)


def add_difference(
    archive: TarWriter, root: Path, entries: Sequence[Entry], base: Iterable[Entry]
) -> None:
    """Write the difference between a base tree and a tree as a layer.

    Modification times are not compared. Whiteouts follow the directory that they are about.

    Args:
        archive: The archive to write the layer to.
        root: The tree.
        entries: Entries of the tree, with hashes of the files.
        base: Entries of the base tree, with hashes of the files.

    Raises:
        ImageError: As :func:`add_layer` raises it.
    """
    before = {entry.path: entry for entry in base}
    now = {entry.path for entry in entries}
    changed = {entry.path for entry in entries if entry != before.get(entry.path)}
    changed_links = {entry.link for entry in entries if entry.link and entry.path in changed}
    changed |= {entry.path for entry in entries if entry.link and entry.link in changed_links}
    removed = sorted(path for path in before if path not in now)
    gone = frozenset(removed)
    whiteouts = [path for path in removed if posixpath.dirname(path) not in gone]
    for path in [*changed, *whiteouts]:
        while path := posixpath.dirname(path):
            changed.add(path)
    hidden: dict[bytes, list[bytes]] = {}
    for path in whiteouts:
        hidden.setdefault(posixpath.dirname(path) or b".", []).append(posixpath.basename(path))
    for entry in entries:
        if entry.path in changed:
            _add(archive, root, entry)
        for name in hidden.get(entry.path, ()) if entry.kind == "directory" else ():
            whiteout = posixpath.join(_within(entry), _WHITEOUT.encode() + name)
            archive.add_file(os.fsdecode(whiteout), b"")


def _within(directory: Entry) -> bytes:
    return b"" if directory.path == b"." else directory.path


def apply_layer(stream: IO[bytes], root: Path) -> None:
    """Apply a layer to a tree without touching anything outside the tree.

    A directory that the layer lists gets the owner and permissions that it has there, even if the
    tree has it already: this is how layers record a change of a directory. Parent directories that
    the layer does not list stay as they are. Content of the description, in contrast, never changes
    a directory of the tree; see :mod:`kiwinb.prepare.lay_over`.

    Args:
        stream: The tar archive of the layer, uncompressed.
        root: The tree.

    Raises:
        ImageError: The layer is damaged.
    """
    applied = _Applied(root)
    try:
        with opened_tar(stream) as layer:
            for member in tar_entries(layer):
                _apply(layer, member, applied)
    except (tarfile.TarError, ValueError, ArithmeticError, *BROKEN_STREAM) as error:
        raise ImageError(f"a layer of the base container cannot be unpacked: {error}") from error
    for path, mtime in reversed(applied.directories):
        if path.is_dir() and not path.is_symlink():
            os.utime(path, (mtime, mtime))


@dataclass(frozen=True)
class _Applied:
    """What a layer has done to a tree so far.

    Attributes:
        root: The tree.
        directories: Directories of the layer, and the times that they get at the end.
        fresh: Paths that the layer has, and the directories that hold them.
        cleared: Directories in which nothing of lower layers is left. They are not searched again,
            so many whiteouts over many files take no longer than the files alone.
    """

    root: Path
    directories: list[tuple[Path, int]] = field(default_factory=list)
    fresh: set[Path] = field(default_factory=set)
    cleared: set[Path] = field(default_factory=set)

    def keep(self, path: Path) -> None:
        """Note a path of the layer and its parent directories."""
        while path != self.root and path not in self.fresh:
            self.fresh.add(path)
            path = path.parent

    def clear(self, directory: Path) -> None:
        """Remove what lower layers put into a directory."""
        pending = [directory]
        while pending:
            place = pending.pop()
            if place in self.cleared or place.is_symlink() or not place.is_dir():
                continue
            self.cleared.add(place)
            for child in list(place.iterdir()):
                if child in self.fresh:
                    pending.append(child)
                else:
                    _remove(child)

    def hide(self, path: Path) -> None:
        """Remove what lower layers put there; a whiteout does not hide files of its own layer."""
        if path in self.fresh:
            self.clear(path)
        else:
            _remove(path)


def _apply(layer: tarfile.TarFile, member: tarfile.TarInfo, applied: _Applied) -> None:
    root = applied.root
    name = posixpath.normpath("/" + member.name).lstrip("/")
    parent = resolve_in(root, posixpath.dirname(name))
    base = posixpath.basename(name)
    path = parent / base if base else root
    if base == _OPAQUE:
        applied.clear(parent)
        return
    if base.startswith(_WHITEOUT):
        hidden = base.removeprefix(_WHITEOUT)
        if hidden in ("", ".", ".."):
            raise ImageError(f"a layer of the base container has a member {member.name!r}")
        if not hidden.startswith(_WHITEOUT):
            applied.hide(parent / hidden)
        return
    if path == root and not member.isdir():
        raise ImageError("a layer of the base container has a root that is not a directory")
    parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    applied.keep(path)
    if member.islnk() and _link_target(member, root) == path and os.path.lexists(path):
        return
    if not (member.isdir() and path.is_dir() and not path.is_symlink()):
        _remove(path)
        _make(layer, member, root, path)
    if member.islnk():
        return
    _set_metadata(path, member)
    if member.isdir():
        applied.directories.append((path, int(member.mtime)))


def _set_metadata(path: Path, member: tarfile.TarInfo) -> None:
    os.chown(path, member.uid, member.gid, follow_symlinks=False)
    if not member.issym():
        path.chmod(member.mode & 0o7777)
    _clear_xattrs(path)  # ACLs inherited from the directory, others from a lower layer
    for key, value in member.pax_headers.items():
        if key.startswith(_XATTR):
            data = value.encode("utf-8", "surrogateescape")
            os.setxattr(path, key.removeprefix(_XATTR), data, follow_symlinks=False)
    mtime = int(member.mtime)
    os.utime(path, (mtime, mtime), follow_symlinks=False)


def _make(layer: tarfile.TarFile, member: tarfile.TarInfo, root: Path, path: Path) -> None:
    if member.isdir():
        path.mkdir()
    elif member.issym():
        path.symlink_to(member.linkname)
    elif member.islnk():
        path.hardlink_to(_link_target(member, root))
    elif member.isfifo():
        os.mkfifo(path)
    elif member.isdev():
        kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
        make_device(path, kind | 0o600, member.devmajor, member.devminor)
    else:
        unpack_file(layer, member, path)


def _link_target(member: tarfile.TarInfo, root: Path) -> Path:
    target = posixpath.normpath("/" + member.linkname).lstrip("/")
    return resolve_in(root, target, follow_last=False)


def _clear_xattrs(path: Path) -> None:
    for name in os.listxattr(path, follow_symlinks=False):
        if name not in (DEVICE_ATTRIBUTE, "security.selinux"):
            os.removexattr(path, name, follow_symlinks=False)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
