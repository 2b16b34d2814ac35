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
from pathlib import Path
from typing import IO

from kiwinb.checkpoints.treescan import Entry
from kiwinb.errors import ImageError
from kiwinb.images.tarball import TarWriter
from kiwinb.sandbox.devices import DEVICE_ATTRIBUTE, make_device
from kiwinb.sandbox.holes import unpack_file
from kiwinb.sandbox.paths import resolve_in

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
    directories: list[tuple[Path, int]] = []
    fresh: set[Path] = set()
    try:
        with tarfile.open(fileobj=stream, mode="r|", errorlevel=2) as layer:
            for member in layer:
                _apply(layer, member, root, fresh, directories)
    except (tarfile.TarError, OSError) as error:
        raise ImageError(f"a layer of the base container cannot be unpacked: {error}") from error
    for path, mtime in reversed(directories):
        if path.is_dir() and not path.is_symlink():
            os.utime(path, (mtime, mtime))


def _apply(
    layer: tarfile.TarFile,
    member: tarfile.TarInfo,
    root: Path,
    fresh: set[Path],
    directories: list[tuple[Path, int]],
) -> None:
    name = posixpath.normpath("/" + member.name).lstrip("/")
    parent = resolve_in(root, posixpath.dirname(name))
    base = posixpath.basename(name)
    path = parent / base if base else root
    if base == _OPAQUE:
        for child in list(parent.iterdir()) if parent.is_dir() else ():
            _remove_stale(child, fresh)
        return
    if base.startswith(_WHITEOUT):
        hidden = base.removeprefix(_WHITEOUT)
        if hidden in ("", ".", ".."):
            raise ImageError(f"a layer of the base container has a member {member.name!r}")
        if not hidden.startswith(_WHITEOUT):
            _remove_stale(parent / hidden, fresh)
        return
    if path == root and not member.isdir():
        raise ImageError("a layer of the base container has a root that is not a directory")
    parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    _keep(path, root, fresh)
    if member.islnk() and _link_target(member, root) == path and os.path.lexists(path):
        return
    if not (member.isdir() and path.is_dir() and not path.is_symlink()):
        _remove(path)
        _make(layer, member, root, path)
    if member.islnk():
        return
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
    if member.isdir():
        directories.append((path, mtime))


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


def _keep(path: Path, root: Path, fresh: set[Path]) -> None:
    """Add a path and its parent directories."""
    while path != root and path not in fresh:
        fresh.add(path)
        path = path.parent


def _remove_stale(path: Path, fresh: set[Path]) -> None:
    """Remove what lower layers put there; a whiteout does not hide files of its own layer."""
    if path not in fresh:
        _remove(path)
    elif path.is_dir() and not path.is_symlink():
        for child in list(path.iterdir()):
            _remove_stale(child, fresh)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
