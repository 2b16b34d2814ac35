"""Open root trees in many formats without mounting them and without root privileges.

A format is recognised by the content of a file, not by its name. To add a format, write a module
with a class that derives from :class:`~kiwinb.inspect.formats.indexed.IndexedTree`, and register it
in :data:`FORMATS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from kiwinb.checkpoints.store import Store
from kiwinb.errors import HostError, InspectError
from kiwinb.inspect.formats import partitions, unpack, virtual
from kiwinb.inspect.formats.archive import TarTree
from kiwinb.inspect.formats.btrfs import BtrfsTree
from kiwinb.inspect.formats.checkpoint import CheckpointTree, OwnedDirectoryTree
from kiwinb.inspect.formats.container import ContainerTree
from kiwinb.inspect.formats.directory import DirectoryTree
from kiwinb.inspect.formats.disk import DiskTree
from kiwinb.inspect.formats.erofs import ErofsTree
from kiwinb.inspect.formats.ext import ExtTree
from kiwinb.inspect.formats.fat import FatTree
from kiwinb.inspect.formats.indexed import IndexedTree
from kiwinb.inspect.formats.initrd import InitrdTree
from kiwinb.inspect.formats.iso9660 import IsoTree
from kiwinb.inspect.formats.mtree import MtreeTree
from kiwinb.inspect.formats.signatures import identify
from kiwinb.inspect.formats.squashfs import SquashfsTree
from kiwinb.inspect.formats.superblocks import find_file
from kiwinb.inspect.formats.window import Window, reading
from kiwinb.inspect.formats.xfs import XfsTree
from kiwinb.inspect.tree import Tree
from kiwinb.paths import normalised
from kiwinb.results.exported import is_export
from kiwinb.sandbox.privilege import detect
from kiwinb.steps.keys import Digest

_MOST_TIMES = 4


@dataclass(frozen=True)
class Format:
    """A format of a file that holds a tree.

    Attributes:
        what: Description with an article, such as ``a tar archive``.
        probe: Function that tells whether a file looks like this format.
        open: Function that opens a file, given its name for messages.
    """

    what: str
    probe: Callable[[Window], bool]
    open: Callable[[Window, str], IndexedTree]


def _tar(window: Window, name: str) -> IndexedTree:
    return ContainerTree.of_archive(window, name) or TarTree(window, name)


FORMATS: Mapping[str, Format] = {
    "iso9660": Format(IsoTree.what, IsoTree.probe, IsoTree),
    "squashfs": Format(SquashfsTree.what, SquashfsTree.probe, SquashfsTree),
    "erofs": Format(ErofsTree.what, ErofsTree.probe, ErofsTree),
    "xfs": Format(XfsTree.what, XfsTree.probe, XfsTree),
    "btrfs": Format(BtrfsTree.what, BtrfsTree.probe, BtrfsTree),
    "ext": Format(ExtTree.what, ExtTree.probe, ExtTree),
    "cpio": Format(InitrdTree.what, InitrdTree.probe, InitrdTree),
    "vfat": Format(FatTree.what, FatTree.probe, FatTree),
    "tar": Format("a tar archive", TarTree.probe, _tar),
    "mtree": Format(MtreeTree.what, MtreeTree.probe, MtreeTree),
}
"""Formats, by name, in the order in which they are tried."""

_FILESYSTEMS = ("squashfs", "erofs", "xfs", "btrfs", "ext", "vfat", "iso9660")


@runtime_checkable
class HasTree(Protocol):
    """An object that has a tree, such as :class:`kiwinb.RootTree`."""

    def tree(self) -> Tree:
        """Open the tree."""
        ...


@runtime_checkable
class HasChoice(Protocol):
    """A tree of a file that holds several, each of which can be opened alone."""

    def chosen(self, name: str) -> Tree:
        """Return one of the trees."""
        ...


Source = str | os.PathLike[str] | HasTree | tuple[Store, Digest]


def open_tree(source: Source) -> Tree:
    """Open a root tree.

    Args:
        source: A directory; a file with a disk (raw, qcow2, vmdk, vdi, vhdx, vhd), a file system
            (ext2, ext3, ext4, xfs, btrfs, FAT, squashfs, erofs, ISO 9660), a container image (OCI,
            ``docker save``), an archive (tar, cpio) or a list of files (mtree), compressed or not;
            a directory with an OCI layout; a root tree of kiwinb; or a store and the key of a tree
            in it. ``FILE#NAME`` chooses one of several: an archive of an initrd by its number, or
            an image of a container archive by its name.

    Raises:
        InspectError: The source does not exist, has an unknown format, is encrypted or is damaged.
    """
    if isinstance(source, tuple):
        return CheckpointTree(*source)
    if isinstance(source, HasTree):
        return source.tree()
    path = normalised(source)
    text = str(path)
    if "#" in text and not path.exists():
        whole, _, chosen = text.rpartition("#")
        if Path(whole).exists():
            return _chosen(_open_path(Path(whole)), chosen)
    return _open_path(path)


def _chosen(tree: Tree, name: str) -> Tree:
    """Return one of the trees in a file; close it if there is no such tree."""
    try:
        if not isinstance(tree, HasChoice):
            raise InspectError(
                f"{tree.name} holds only one tree, so there is no {name!r} to choose",
                remedy=f"Name {tree.name} alone.",
            )
        return tree.chosen(name)
    except BaseException:
        tree.close()
        raise


def _open_path(path: Path) -> Tree:
    try:
        if path.is_dir():
            return _open_directory(path)
        if not path.is_file() and not path.is_block_device():
            problem = "is not a file or directory" if path.exists() else "is not there"
            raise InspectError(f"{path} {problem}", remedy="Name an image or a directory.")
        window = Window.of(path)
        if path.is_block_device():
            window = Window(window.file, 0, window.file.seek(0, os.SEEK_END))
    except OSError as error:
        raise InspectError(f"cannot read {path}: {error.strerror}") from error
    return _open_window(window, path)


def _open_directory(path: Path) -> Tree:
    if ContainerTree.probe_directory(path):
        return ContainerTree.of_directory(path)
    if os.geteuid() and is_export(path):  # its files may belong to subordinate IDs
        try:
            privilege = detect()
        except HostError:
            return DirectoryTree(path)
        if privilege.rootless and privilege.owns(path.stat().st_uid):
            return OwnedDirectoryTree(path, privilege)
    return DirectoryTree(path)


def _open_window(window: Window, path: Path) -> Tree:
    """Open the tree in a window, unpacking it if necessary; close the window on failure."""
    name = str(path)
    is_plain = False  # what a virtual disk holds is not taken for another virtual disk
    times = 0
    try:
        while True:
            packed = window
            if not is_plain and (kind := virtual.virtual_format(window)):
                window, is_plain = virtual.plain_disk(window, name, kind), True
            elif not unpack.compression(window):
                return _open_plain(window, name)
            elif _is_initrd(window, name):
                return InitrdTree(window, name)
            elif times == _MOST_TIMES:
                raise InspectError(
                    f"{name} is compressed more than {times} times over",
                    remedy="Decompress it, and open what was in it.",
                )
            else:
                window, times = unpack.decompressed(window, name), times + 1
            packed.close()
    except BaseException:
        window.close()
        raise


def _is_initrd(window: Window, name: str) -> bool:
    with reading(name, f"a file compressed with {unpack.compression(window)}"):
        return InitrdTree.probe(window)


def _open_plain(window: Window, name: str) -> Tree:
    known = _open_known(window, name, FORMATS)
    if known is not None:
        return known
    if partitions.probe(window):
        return DiskTree(window, name, _open_filesystem)
    if found := identify(window):
        signature, _volume = found
        raise InspectError(f"{name} is {signature.what}", remedy=signature.remedy)
    if file := find_file(window):
        raise InspectError(f"{name} is {file.what}", remedy="Unpack it with its own tool.")
    if not window.size:
        raise InspectError(f"{name} is empty", remedy="Get or make it again.")
    raise InspectError(
        f"{name} is of no format that is known here; it begins with {window.peek(0, 8).hex(' ')}",
        remedy="Known formats are disks, " + ", ".join(FORMATS) + ", and container images.",
    )


def _open_filesystem(window: Window, name: str) -> IndexedTree | None:
    return _open_known(window, name, {kind: FORMATS[kind] for kind in _FILESYSTEMS})


def _open_known(window: Window, name: str, formats: Mapping[str, Format]) -> IndexedTree | None:
    for item in formats.values():
        with reading(name, item.what):
            if item.probe(window):
                return item.open(window, name)
    return None
