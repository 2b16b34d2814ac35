"""Inodes of XFS (version 5) with their extents and symbolic links."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kiwinb.storage.filesystem.xfs_geometry import (
    BLOCK,
    MOST_BLOCKS,
    NULL,
    Geometry,
    balanced,
    sealed,
)

CORE = 176
"""Number of bytes of an inode before its data fork."""

DEVICE, LOCAL, EXTENTS, BTREE = 0, 1, 2, 3
"""Formats of a fork."""

_BIG_TIMES = 0x8
_EPOCH_OFFSET = 1 << 31
_NO_PARENT = (1 << 64) - 1
_LONG_HEADER = 72


@dataclass(frozen=True)
class Extent:
    """Blocks of a file.

    Attributes:
        offset: First block in the file.
        block: First block in the file system, as XFS numbers them.
        count: Number of blocks.
    """

    offset: int
    block: int
    count: int

    def packed(self) -> bytes:
        """Pack the extent in its form on disk."""
        return struct.pack(
            ">QQ",
            self.offset << 9 | self.block >> 43,
            (self.block & (1 << 43) - 1) << 21 | self.count,
        )


def joined(extents: Sequence[Extent]) -> list[Extent]:
    """Join extents that directly follow each other."""
    found: list[Extent] = []
    for extent in extents:
        if found:
            last = found[-1]
            count = last.count + extent.count
            follows = (last.offset + last.count, last.block + last.count)
            if follows == (extent.offset, extent.block) and count <= MOST_BLOCKS:
                found[-1] = Extent(last.offset, last.block, count)
                continue
        found.append(extent)
    return found


@dataclass(frozen=True)
class Fork:
    """A fork of an inode.

    Attributes:
        form: ``DEVICE``, ``LOCAL``, ``EXTENTS`` or ``BTREE``.
        data: The part that is stored in the inode.
        extents: Number of extents.
        blocks: Number of blocks.
    """

    form: int
    data: bytes
    extents: int = 0
    blocks: int = 0


@dataclass(frozen=True)
class Facts:
    """Metadata of a file in its inode.

    Attributes:
        mode: File type and permissions.
        uid: Owner.
        gid: Group.
        links: Number of its names.
        size: Size in bytes.
        modified_ns: Modification time, in nanoseconds since 1970-01-01 UTC.
        created_ns: Creation time, in nanoseconds since 1970-01-01 UTC.
        flags: Flags of XFS.
    """

    mode: int
    uid: int
    gid: int
    links: int
    size: int
    modified_ns: int
    created_ns: int
    flags: int = 0


def free_inode(geometry: Geometry, number: int) -> bytes:
    """Pack an unused inode."""
    data = bytearray(geometry.inode_size)
    _identify(data, geometry, number)
    return sealed(data, 100)


def packed_inode(
    geometry: Geometry, number: int, facts: Facts, data_fork: Fork, attributes: Fork | None
) -> bytes:
    """Pack a used inode.

    Args:
        geometry: Geometry of the file system.
        number: Number of the inode.
        facts: Metadata of the file.
        data_fork: Fork of the data.
        attributes: Fork of the extended attributes, if there are any.
    """
    data = bytearray(geometry.inode_size)
    _identify(data, geometry, number)
    big = geometry.big_times
    modified, created = (_time(t, big) for t in (facts.modified_ns, facts.created_ns))
    blocks = data_fork.blocks + (attributes.blocks if attributes else 0)
    struct.pack_into(">H", data, 2, facts.mode)
    data[5] = data_fork.form
    struct.pack_into(">III", data, 8, facts.uid, facts.gid, facts.links)
    struct.pack_into(">QQQQQ", data, 32, modified, modified, modified, facts.size, blocks)
    struct.pack_into(">I", data, 76, data_fork.extents)
    struct.pack_into(">HI", data, 90, facts.flags, 1)
    struct.pack_into(">Q", data, 104, 1)
    struct.pack_into(">Q", data, 120, _BIG_TIMES if big else 0)
    struct.pack_into(">Q", data, 144, created)
    data[CORE : CORE + len(data_fork.data)] = data_fork.data
    data[83] = EXTENTS
    if attributes is not None:
        at = data_capacity(geometry, attributes, device=data_fork.form == DEVICE)
        struct.pack_into(">HBB", data, 80, attributes.extents, at // 8, attributes.form)
        data[CORE + at : CORE + at + len(attributes.data)] = attributes.data
    return sealed(data, 100)


def _identify(data: bytearray, geometry: Geometry, number: int) -> None:
    data[:2], data[4] = b"IN", 3
    struct.pack_into(">I", data, 96, NULL)
    struct.pack_into(">Q16s", data, 152, number, geometry.uuid)


def _time(time: int, big: bool) -> int:
    seconds, nanoseconds = divmod(time, 10**9)
    return time + _EPOCH_OFFSET * 10**9 if big else (seconds & 0xFFFFFFFF) << 32 | nanoseconds


def data_capacity(geometry: Geometry, attributes: Fork | None, *, device: bool = False) -> int:
    """Return the number of bytes that an inode has for its data fork.

    Args:
        geometry: Geometry of the file system.
        attributes: Fork of the extended attributes, if there are any.
        device: Whether the inode is that of a device node or a fifo.
    """
    if device:
        return 8
    room = geometry.inode_size - CORE
    return room if attributes is None else (room - len(attributes.data)) // 8 * 8


def extents_fork(
    extents: Sequence[Extent],
    *,
    geometry: Geometry,
    capacity: int,
    owner: int,
    allocate: Callable[[], int],
    write: Callable[[int, bytes], None],
) -> Fork:
    """Build a fork of extents, in the inode if they fit, otherwise in a B-tree.

    Args:
        extents: The extents, in order.
        geometry: Geometry of the file system.
        capacity: Number of bytes that the inode has for the fork.
        owner: Number of the inode.
        allocate: Returns a free block.
        write: Called with a block number and data; writes the block.
    """
    blocks = sum(extent.count for extent in extents)
    items = [(extent.offset, extent.packed()) for extent in extents]
    if 16 * len(items) <= capacity:
        return Fork(EXTENTS, b"".join(item[1] for item in items), len(items), blocks)
    most, level, per_block = (capacity - 4) // 16, 0, (BLOCK - _LONG_HEADER) // 16
    while level == 0 or len(items) > most:
        parts = balanced(items, per_block)
        places = [allocate() for _ in parts]
        around = [_NO_PARENT, *places, _NO_PARENT]
        for index, (place, part) in enumerate(zip(places, parts, strict=True)):
            block = bytearray(BLOCK)
            siblings = (around[index], around[index + 2])
            struct.pack_into(">4sHHQQ", block, 0, b"BMA3", level, len(part), *siblings)
            sector = geometry.sector_of_block(place)
            struct.pack_into(">QQ16sQ", block, 24, sector, 0, geometry.uuid, owner)
            data = _with_keys(part, per_block) if level else b"".join(item[1] for item in part)
            block[_LONG_HEADER : _LONG_HEADER + len(data)] = data
            write(place, sealed(block, 64))
        blocks += len(parts)
        items = [
            (part[0][0], struct.pack(">Q", place))
            for place, part in zip(places, parts, strict=True)
        ]
        level += 1
    root = struct.pack(">HH", level, len(items)) + _with_keys(items, most)
    return Fork(BTREE, root, len(extents), blocks)


def _with_keys(items: Sequence[tuple[int, bytes]], most: int) -> bytes:
    """Pack keys and then pointers, leaving room after the keys for ``most`` of them."""
    keys = b"".join(struct.pack(">Q", item[0]) for item in items)
    return keys.ljust(8 * most, b"\0") + b"".join(item[1] for item in items)


def symlink_block(target: bytes, *, uuid: bytes, owner: int, sector: int) -> bytes:
    """Pack the block of a symbolic link that does not fit in its inode.

    Args:
        target: Target of the link.
        uuid: UUID of the file system.
        owner: Number of the link's inode.
        sector: Place of the block, in sectors of 512 bytes.
    """
    block = bytearray(BLOCK)
    struct.pack_into(">4sII", block, 0, b"XSLM", 0, len(target))
    struct.pack_into(">16sQQ", block, 16, uuid, owner, sector)
    block[56 : 56 + len(target)] = target
    return sealed(block, 12)
