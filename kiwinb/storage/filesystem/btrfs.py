"""btrfs, written by kiwinb itself so that its bytes do not depend on the host.

``mkfs.btrfs --rootdir`` uses the inode numbers and the order of names of the host and the current
time, and does not turn a stand-in into a device node. A new btrfs consists of a few sorted lists of
items, so this module writes them itself, each tree from left to right. There are two copies of
metadata, as ``mkfs.btrfs`` makes them on one device, and one copy of data, with checksums.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kiwinb.checkpoints.treescan import Entry
from kiwinb.errors import ImageError
from kiwinb.sizes import MIB
from kiwinb.storage.filesystem.btrfs_items import (
    DIR_INDEX,
    DIR_ITEM,
    EXTENT_DATA,
    FIRST_INODE,
    INODE_EXTREF,
    INODE_ITEM,
    INODE_REF,
    TOP_TREE,
    XATTR_ITEM,
    Identity,
    Item,
    far_reference,
    file_extent,
    inline_extent,
    inode_item,
    name_hash,
    name_item,
    reference,
    reference_hash,
    xattr_item,
)
from kiwinb.storage.filesystem.btrfs_space import Space
from kiwinb.storage.filesystem.btrfs_tree import MOST_ITEM
from kiwinb.storage.filesystem.content import (
    NAME_TYPES,
    TYPES,
    Content,
    Flag,
    Need,
    counted,
    name_of,
    parent_of,
)
from kiwinb.storage.filesystem.limits import Limits, check, refused
from kiwinb.storage.filesystem.spec import Filesystem, Growth, Watch

_SMALLEST = 256 * MIB
_LONGEST_LABEL = 255
_MOST_INLINE = 2048
_MOST_REFERENCES = 8192  # bytes for the names of an inode in one directory
_FIRST_INDEX = 2
_LARGEST_ATTRIBUTE = MOST_ITEM - 30
_FLAGS = {
    Flag.SYNC: 0x20,
    Flag.IMMUTABLE: 0x40,
    Flag.APPEND: 0x80,
    Flag.NODUMP: 0x100,
    Flag.NOATIME: 0x200,
}
_COLLIDING = "the names of too many {} have the same hash"
_LIMITS = Limits("btrfs", times=(-(1 << 63), (1 << 63) - 1))


_GROWTH = Growth("btrfs", "btrfs-progs", "btrfs filesystem resize max /")


@dataclass(frozen=True)
class Btrfs:
    """btrfs, with all content in the top-level subvolume."""

    name: str = "btrfs"
    revision: int = 3
    tools: tuple[str, ...] = ("mke2fs",)  # it brings libext2fs, for checksums
    makes_images: bool = True
    grub_module: str | None = "btrfs"
    growth: Growth | None = _GROWTH
    subvolumes: bool = True
    least_volume: int = 120
    read_only: bool = False
    has_uuid: bool = True
    compression: str | None = None
    fstab_type: str = "btrfs"
    checked: bool = False

    def size(self, need: Need) -> int:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        metadata = need.inodes * 1024 + need.size // 512
        return max(_SMALLEST, need.size * 110 // 100 + 2 * metadata + 192 * MIB)

    def lacks(self, compression: str | None) -> str | None:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        return None

    def identifier(self, uuid: str) -> str:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        return uuid

    def make(self, image: Path, spec: Filesystem, content: Content, watch: Watch) -> None:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        if spec.options:
            raise ImageError(
                f"kiwinb writes btrfs itself and takes no options: {' '.join(spec.options)}",
                remedy="leave fscreateoptions out",
            )
        label = os.fsencode(spec.label or "")
        if len(label) > _LONGEST_LABEL:
            raise ImageError(f"the label {spec.label!r} is too long for btrfs")
        check(content, _LIMITS)
        with image.open("r+b", buffering=0) as file:
            space = Space(file, image.stat().st_size, Identity.of(spec.uuid))
            tree = space.tree(TOP_TREE)
            for item in _Filler(space, content).items(watch):
                tree.add(*item)
            space.end_tree(TOP_TREE, tree)
            space.finish(label, content.epoch * 10**9)


@dataclass(frozen=True)
class _Name:
    """A name of an inode, with its directory and its index in that directory."""

    parent: int
    index: int
    name: bytes


class _Filler:
    def __init__(self, space: Space, content: Content) -> None:
        self._space = space
        self._content = content
        own = [entry for entry in content.entries if entry.link in (b"", entry.path)]
        self._inodes = {entry.path: FIRST_INODE + index for index, entry in enumerate(own)}
        self._children: dict[bytes, list[Entry]] = defaultdict(list)
        self._names: dict[int, list[_Name]] = defaultdict(list)
        self._names[FIRST_INODE] = [_Name(FIRST_INODE, 0, b"..")]
        for entry in content.entries[1:]:
            parent = parent_of(entry)
            index = _FIRST_INDEX + len(self._children[parent])
            self._children[parent].append(entry)
            name = _Name(self._inodes[parent], index, name_of(entry))
            self._names[self._number(entry)].append(name)

    def _number(self, entry: Entry) -> int:
        return self._inodes[entry.link or entry.path]

    def items(self, watch: Watch) -> Iterator[Item]:
        """Yield all items of the tree in order, and write the data of files on the way."""
        for entry in counted(self._content.entries, watch.progress):
            if entry.path in self._inodes:
                yield from self._inode(entry)

    def _inode(self, entry: Entry) -> Iterator[Item]:
        number = self._inodes[entry.path]
        size, stored, links, content = 0, 0, 1, list[Item]()
        if entry.kind == "directory":
            content = self._directory(entry, number)
            size = 2 * sum(len(name_of(child)) for child in self._children[entry.path])
        else:
            links = self._content.links.get(entry.path, 1)
        if entry.kind == "symlink":
            content = [((number, EXTENT_DATA, 0), inline_extent(entry.target))]
            size = stored = len(entry.target)
        elif entry.kind == "file":
            content, stored = self._file(entry, number)
            size = entry.size
        inode = inode_item(
            mode=TYPES[entry.kind] | entry.mode,
            size=size,
            stored=stored,
            links=links,
            uid=entry.uid,
            gid=entry.gid,
            device=entry.device,
            modified_ns=self._content.modified_ns(entry),
            created_ns=self._content.epoch * 10**9,
            flags=_flags(self._content.flags(entry)),
        )
        yield (number, INODE_ITEM, 0), inode
        yield from self._references(entry, number)
        yield from self._attributes(entry, number)
        yield from content

    def _references(self, entry: Entry, number: int) -> Iterator[Item]:
        """Yield the items for the names of an inode."""
        near: dict[int, bytes] = defaultdict(bytes)
        far: dict[int, bytes] = defaultdict(bytes)
        for name in self._names[number]:
            item = reference(name.index, name.name)
            if len(near[name.parent]) + len(item) <= _MOST_REFERENCES:
                near[name.parent] += item
            else:
                at = reference_hash(name.parent, name.name)
                far[at] += far_reference(name.parent, name.index, name.name)
        for kind, found in ((INODE_REF, near), (INODE_EXTREF, far)):
            for offset, data in sorted(found.items()):
                if len(data) > MOST_ITEM:
                    raise refused(_LIMITS, entry.path, _COLLIDING.format("hard links"))
                yield (number, kind, offset), data

    def _attributes(self, entry: Entry, number: int) -> Iterator[Item]:
        found: dict[int, bytes] = defaultdict(bytes)
        for name, value in entry.xattrs:
            size = len(os.fsencode(name)) + len(value)
            if size > _LARGEST_ATTRIBUTE:
                problem = (
                    f"its extended attribute {name} has {size} bytes, "
                    f"and {_LARGEST_ATTRIBUTE} are the most"
                )
                raise refused(_LIMITS, entry.path, problem)
            found[name_hash(os.fsencode(name))] += xattr_item(os.fsencode(name), value)
        for at, data in sorted(found.items()):
            if len(data) > MOST_ITEM:
                raise refused(_LIMITS, entry.path, _COLLIDING.format("extended attributes"))
            yield (number, XATTR_ITEM, at), data

    def _directory(self, entry: Entry, number: int) -> list[Item]:
        by_hash: dict[int, bytes] = defaultdict(bytes)
        by_index: list[Item] = []
        for index, child in enumerate(self._children[entry.path], _FIRST_INDEX):
            name = name_of(child)
            item = name_item(self._number(child), NAME_TYPES[child.kind], name)
            at = name_hash(name)
            by_hash[at] += item
            if len(by_hash[at]) > MOST_ITEM:
                raise refused(_LIMITS, child.path, _COLLIDING.format("files in its directory"))
            by_index.append(((number, DIR_INDEX, index), item))
        hashed = [((number, DIR_ITEM, at), data) for at, data in sorted(by_hash.items())]
        return [*hashed, *by_index]

    def _file(self, entry: Entry, number: int) -> tuple[list[Item], int]:
        """Write the content of a file; return its items, and the number of bytes they take."""
        if 0 < entry.size <= _MOST_INLINE and not self._content.sparse(entry):
            data = b"".join(piece for _, piece in self._content.pieces(entry))
            return [((number, EXTENT_DATA, 0), inline_extent(data))], len(data)
        extents = self._space.write_file(self._content.pieces(entry), number)
        items = [
            ((number, EXTENT_DATA, extent.offset), file_extent(extent.address, extent.size))
            for extent in extents
        ]
        return items, sum(extent.size for extent in extents)


def _flags(flags: int) -> int:
    return sum(own for flag, own in _FLAGS.items() if flags & flag) if flags else 0


BTRFS = Btrfs()
