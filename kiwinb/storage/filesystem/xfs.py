"""XFS: ``mkfs.xfs`` makes the empty file system, and kiwinb writes the content into it.

A protofile of ``mkfs.xfs`` cannot describe hard links, extended attributes, times, sticky bits,
holes or names with blanks. So kiwinb itself writes directories, inodes and files, one after the
other and in their final sizes, and the indexes at the end.
"""

from __future__ import annotations

import os
import stat
import struct
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from kiwinb.checkpoints.treescan import Entry
from kiwinb.errors import ImageError
from kiwinb.sandbox.command import run
from kiwinb.sizes import MIB
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
from kiwinb.storage.filesystem.spec import Filesystem, FilesystemFull, Growth, Watch
from kiwinb.storage.filesystem.xfs_attributes import (
    Attribute,
    attribute_parts,
    short_attributes,
)
from kiwinb.storage.filesystem.xfs_directory import (
    Name,
    directory_parts,
    short_directory,
    short_size,
)
from kiwinb.storage.filesystem.xfs_geometry import BLOCK
from kiwinb.storage.filesystem.xfs_inode import (
    CORE,
    DEVICE,
    EXTENTS,
    LOCAL,
    Extent,
    Facts,
    Fork,
    data_capacity,
    extents_fork,
    free_inode,
    joined,
    packed_inode,
    symlink_block,
)
from kiwinb.storage.filesystem.xfs_space import INODE_SHARE, Space

_SMALLEST = 300 * MIB
_LOG = 68 * MIB
_LONGEST_LABEL = 12
_LONGEST_TARGET = 1023
_LARGEST_MAJOR = (1 << 9) - 1  # as the kernel reads it, though there is room for more
_LARGEST_MINOR = (1 << 18) - 1
_DATA_ROOM = 64  # bytes of an inode that its attributes have to leave for its data
_FLAGS = {
    Flag.IMMUTABLE: 0x8,
    Flag.APPEND: 0x10,
    Flag.SYNC: 0x20,
    Flag.NOATIME: 0x40,
    Flag.NODUMP: 0x80,
}
_SPACES = {"user": 0, "trusted": 2, "security": 4}
_ACLS = {
    "system.posix_acl_access": b"SGI_ACL_FILE",
    "system.posix_acl_default": b"SGI_ACL_DEFAULT",
}
_METADATA = {"crc": 1, "finobt": 1, "reflink": 1, "rmapbt": 0, "bigtime": 1, "inobtcount": 1}
_INODES = {"sparse": 1, "nrext64": 0}
"""Features, which replace the host's defaults; GRUB 2.06 supports all of them."""


_GROWTH = Growth("xfs_growfs", "xfsprogs", "xfs_growfs /")


@dataclass(frozen=True)
class Xfs:
    """XFS, version 5."""

    name: str = "xfs"
    revision: int = 3
    tools: tuple[str, ...] = ("mkfs.xfs", "mke2fs")
    makes_images: bool = True
    grub_module: str | None = "xfs"
    growth: Growth | None = _GROWTH
    subvolumes: bool = False
    least_volume: int = 300
    read_only: bool = False
    has_uuid: bool = True
    compression: str | None = None
    fstab_type: str = "xfs"
    checked: bool = False

    def size(self, need: Need) -> int:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        inodes = need.inodes * 520
        return max(_SMALLEST, max(need.size + inodes, inodes * INODE_SHARE) * 103 // 100 + _LOG)

    def lacks(self, compression: str | None) -> str | None:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        return None

    def identifier(self, uuid: str) -> str:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        return uuid

    def make(self, image: Path, spec: Filesystem, content: Content, watch: Watch) -> None:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        if spec.label and len(os.fsencode(spec.label)) > _LONGEST_LABEL:
            raise ImageError(
                f"the label {spec.label!r} is too long for XFS",
                remedy=f"take at most {_LONGEST_LABEL} characters",
            )
        self._make_empty(image, spec, watch)
        with image.open("r+b", buffering=0) as file:
            space = Space(file)
            limits = _limits(space.geometry.big_times)
            check(content, limits)
            _Filler(space, limits, content).fill(watch)

    def _make_empty(self, image: Path, spec: Filesystem, watch: Watch) -> None:
        given = " ".join(spec.options)

        def chosen(features: dict[str, int]) -> str:
            left = (f"{name}={value}" for name, value in features.items() if name not in given)
            return ",".join(left)

        inodes = chosen(_INODES)
        if image.stat().st_size < _SMALLEST:
            raise FilesystemFull(f"XFS needs {_SMALLEST // MIB} MiB at least")
        run(
            [
                "mkfs.xfs",
                *("-f", "-K", "-q"),
                *("-m", ",".join(filter(None, (f"uuid={spec.uuid}", chosen(_METADATA))))),
                *(("-i", inodes) if inodes else ()),
                *(("-L", spec.label) if spec.label else ()),
                *(("-s", f"size={spec.sector_size}") if spec.sector_size != 512 else ()),
                *spec.options,
                str(image),
            ],
            log=watch.log,
        )


class _Filler:
    def __init__(self, space: Space, limits: Limits, content: Content) -> None:
        self._space = space
        self._limits = limits
        self._geometry = space.geometry
        self._content = content
        self._created = min(content.epoch, limits.times[1]) * 10**9
        own = [entry for entry in content.entries if entry.link in (b"", entry.path)]
        numbers = (self._geometry.root, *space.inodes(len(own) - 1))
        self._inodes = {entry.path: number for entry, number in zip(own, numbers, strict=True)}
        self._names: dict[bytes, list[Name]] = defaultdict(list)
        self._subdirectories: dict[bytes, int] = defaultdict(int)
        for entry in content.entries[1:]:
            name = Name(name_of(entry), self._number(entry), NAME_TYPES[entry.kind])
            self._names[parent_of(entry)].append(name)
            self._subdirectories[parent_of(entry)] += entry.kind == "directory"

    def _number(self, entry: Entry) -> int:
        return self._inodes[entry.link or entry.path]

    def fill(self, watch: Watch) -> None:
        """Write all entries."""
        for entry in counted(self._content.entries, watch.progress):
            if entry.path in self._inodes:
                self._add(entry)
        for number in self._geometry.own_inodes:
            facts = Facts(stat.S_IFREG, 0, 0, 1, 0, self._created, self._created)
            self._write_inode(number, facts, Fork(EXTENTS, b""), None)
        for number in self._space.unused_inodes():
            self._space.write_inode(number, free_inode(self._geometry, number))
        self._space.finish()

    def _add(self, entry: Entry) -> None:
        number = self._inodes[entry.path]
        attributes = self._attributes(entry, number) if entry.xattrs else None
        size, links = entry.size, self._content.links.get(entry.path, 1)
        if entry.kind == "directory":
            size, fork = self._directory(entry, number, attributes)
            links = 2 + self._subdirectories[entry.path]
        elif entry.kind == "symlink":
            size, fork = len(entry.target), self._symlink(entry, number, attributes)
        elif entry.kind == "file":
            fork = self._extents(self._file(entry), number, attributes)
        else:
            major, minor = entry.device or (0, 0)
            fork = Fork(DEVICE, struct.pack(">I", major << 18 | minor))
        facts = Facts(
            mode=TYPES[entry.kind] | entry.mode,
            uid=entry.uid,
            gid=entry.gid,
            links=links,
            size=size,
            modified_ns=self._content.modified_ns(entry),
            created_ns=self._created,
            flags=_flags(self._content.flags(entry)),
        )
        self._write_inode(number, facts, fork, attributes)

    def _write_inode(self, number: int, facts: Facts, fork: Fork, attributes: Fork | None) -> None:
        data = packed_inode(self._geometry, number, facts, fork, attributes)
        self._space.write_inode(number, data)

    def _extents(self, extents: list[Extent], number: int, attributes: Fork | None) -> Fork:
        return extents_fork(
            extents,
            geometry=self._geometry,
            capacity=data_capacity(self._geometry, attributes),
            owner=number,
            allocate=self._space.allocate_block,
            write=self._space.write_block,
        )

    def _file(self, entry: Entry) -> list[Extent]:
        """Write the content of a file; return its extents."""
        extents = []
        for offset, piece in self._content.pieces(entry):
            at, first = 0, offset // BLOCK
            for block, count in self._space.allocate(-(-len(piece) // BLOCK)):
                self._space.write_block(block, piece[at : at + count * BLOCK])
                extents.append(Extent(first + at // BLOCK, block, count))
                at += count * BLOCK
        return joined(extents)

    def _directory(self, entry: Entry, number: int, attributes: Fork | None) -> tuple[int, Fork]:
        """Write a directory; return its size in bytes and its fork."""
        names, parent = self._names[entry.path], self._inodes[parent_of(entry)]
        short = short_size(names, parent)
        if short <= data_capacity(self._geometry, attributes):
            return short, Fork(LOCAL, short_directory(names, parent))
        extents, size = [], 0
        for part in directory_parts(names, number, parent):
            block = self._space.allocate_block()
            data = part.sealed(
                sector=self._geometry.sector_of_block(block),
                uuid=self._geometry.uuid,
                owner=number,
            )
            self._space.write_block(block, data)
            extents.append(Extent(part.offset, block, 1))
            size += BLOCK * part.is_data
        extents.sort(key=lambda extent: extent.offset)
        return size, self._extents(joined(extents), number, attributes)

    def _symlink(self, entry: Entry, number: int, attributes: Fork | None) -> Fork:
        if len(entry.target) <= data_capacity(self._geometry, attributes):
            return Fork(LOCAL, entry.target)
        block = self._space.allocate_block()
        data = symlink_block(
            entry.target,
            uuid=self._geometry.uuid,
            owner=number,
            sector=self._geometry.sector_of_block(block),
        )
        self._space.write_block(block, data)
        return self._extents([Extent(0, block, 1)], number, attributes)

    def _attributes(self, entry: Entry, number: int) -> Fork:
        """Write the extended attributes of an entry; return their fork."""
        found = [_attribute(name, value) for name, value in entry.xattrs]
        short = short_attributes(found)
        room = self._geometry.inode_size - CORE - _DATA_ROOM
        if short is not None and len(short) <= room:
            return Fork(LOCAL, short)
        parts = attribute_parts(found)
        if parts is None:
            problem = f"its {len(found)} extended attributes are more than kiwinb writes to XFS"
            raise refused(self._limits, entry.path, problem)
        extents: list[Extent] = []
        for start, count in self._space.allocate(len(parts)):
            at = sum(extent.count for extent in extents)
            extents.append(Extent(at, start, count))
            for block, part in enumerate(parts[at : at + count], start):
                sector = self._geometry.sector_of_block(block)
                data = part.sealed(sector=sector, uuid=self._geometry.uuid, owner=number)
                self._space.write_block(block, data)
        packed = b"".join(extent.packed() for extent in extents)
        return Fork(EXTENTS, packed, len(extents), len(parts))


def _limits(big_times: bool) -> Limits:
    """Return the limits of a file system, by whether its times are nanoseconds since 1901."""
    last = ((1 << 64) // 10**9 if big_times else 1 << 32) - (1 << 31) - 1
    return Limits(
        "XFS",
        target=_LONGEST_TARGET,
        major=_LARGEST_MAJOR,
        minor=_LARGEST_MINOR,
        times=(-(1 << 31), last),
        attributes=(*(f"{space}." for space in _SPACES), *_ACLS),
    )


def _flags(flags: int) -> int:
    return sum(own for flag, own in _FLAGS.items() if flags & flag) if flags else 0


def _attribute(name: str, value: bytes) -> Attribute:
    if name in _ACLS:
        return Attribute(_ACLS[name], _acl(value), 2)
    space, _, rest = name.partition(".")
    return Attribute(os.fsencode(rest), value, _SPACES[space])


def _acl(value: bytes) -> bytes:
    """Convert an access control list from the kernel's form to that of XFS."""
    entries = list(struct.iter_unpack("<HHI", value[4:]))
    packed = struct.pack(">I", len(entries))
    for tag, permissions, who in entries:
        # Only entries for a particular user (2) or group (8) have an ID.
        packed += struct.pack(">IIHH", tag, who if tag in (2, 8) else 0, permissions, 0)
    return packed


XFS = Xfs()
