"""Manage the space of an empty XFS file system (version 5) that ``mkfs.xfs`` has made in a file.

The module allocates blocks and inodes, and finally writes the records of their use: the indexes of
free space and inodes, and the counters of the superblock. Because the file system starts empty and
nothing is ever freed, each allocation group always has only a few free extents.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from kiwinb.errors import ImageError
from kiwinb.storage.filesystem.spec import FilesystemFull
from kiwinb.storage.filesystem.xfs_geometry import (
    BLOCK,
    CHUNK,
    MOST_BLOCKS,
    NULL,
    Geometry,
    balanced,
    sealed,
)

INODE_SHARE = 4
"""An allocation group uses at most 1/INODE_SHARE of its blocks for inodes."""

_ATTRIBUTES = 0x10
_SHORT_HEADER = 56
_LEAF_RECORDS = (BLOCK - _SHORT_HEADER) // 16
_NODE_RECORDS = (BLOCK - _SHORT_HEADER) // 8


def _index_blocks(chunks: int) -> int:
    """Return the number of blocks of an index of inode chunks, without its root."""
    blocks, level, most = 0, chunks, _LEAF_RECORDS
    while level > most:
        level = -(-level // most)
        blocks, most = blocks + level, _NODE_RECORDS
    return blocks


@dataclass
class _Group:
    """An allocation group.

    Attributes:
        number: Number of the group, from 0.
        free: Free extents as (first block, count), in their order on disk.
        chunks: First inode of each chunk within the group, in their order on disk.
        used: Number of inodes in use, from the first inode of the first chunk on.
        index: Blocks reserved for the index of inodes, without its root.
    """

    number: int
    free: list[tuple[int, int]]
    chunks: list[int] = field(default_factory=list)
    used: int = 0
    index: list[int] = field(default_factory=list)


class Space:
    """The space of a new file system; :meth:`finish` has to be called at the end.

    Args:
        file: The image, open for reading and writing.

    Raises:
        ImageError: The file system is not empty, or kiwinb does not support one of its features.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._superblock = bytearray(self._read(0, 512))
        self.geometry = Geometry.read(bytes(self._superblock))
        size = self.geometry.sector
        self._superblock = bytearray(self._read(0, size))
        self._groups = [self._group(number) for number in range(self.geometry.groups)]
        self._groups[0].chunks.append(self.geometry.root)
        self._groups[0].used = 1 + len(self.geometry.own_inodes)
        self._free_before = self._free_blocks()
        self._current = 0

    def _group(self, number: int) -> _Group:
        geometry = self.geometry
        header = self._read_header(number, 1)
        (root,) = struct.unpack_from(">I", header, 16)
        (levels,) = struct.unpack_from(">I", header, 28)
        index = self._read((number * geometry.group_blocks + root) * BLOCK, BLOCK)
        if header[:4] != b"XAGF" or index[:4] != b"AB3B" or levels != 1:
            raise ImageError("mkfs.xfs made an XFS file system that is not empty")
        (count,) = struct.unpack_from(">H", index, 6)
        records = struct.iter_unpack(">II", index[_SHORT_HEADER : _SHORT_HEADER + 8 * count])
        return _Group(number, [(start, length) for start, length in records])

    def _free_blocks(self) -> int:
        return sum(count for group in self._groups for _, count in group.free)

    def allocate(self, count: int) -> list[tuple[int, int]]:
        """Allocate blocks in as few extents as possible, returned as (first block, count).

        Raises:
            FilesystemFull: There are not enough free blocks.
        """
        found: list[tuple[int, int]] = []
        while count:
            if self._current == len(self._groups):
                raise FilesystemFull("the XFS file system is too small for its content")
            group = self._groups[self._current]
            if not group.free:
                self._current += 1
                continue
            start, length = group.free[0]
            taken = min(count, length, MOST_BLOCKS)
            group.free[0] = (start + taken, length - taken)
            if taken == length:
                del group.free[0]
            found.append((group.number << self.geometry.group_bits | start, taken))
            count -= taken
        return found

    def allocate_block(self) -> int:
        """Allocate one block.

        Raises:
            FilesystemFull: There is no free block.
        """
        return self.allocate(1)[0][0]

    def inodes(self, count: int) -> list[int]:
        """Allocate inodes; call this once, before any blocks are allocated.

        Raises:
            FilesystemFull: There is not enough room for them.
        """
        geometry = self.geometry
        left = count - (CHUNK - self._groups[0].used)
        for group in self._groups:
            if left > 0:
                left -= self._make_chunks(group, -(-left // CHUNK)) * CHUNK
                blocks = _index_blocks(len(group.chunks))
                group.index = [self._index_block(group) for _ in range(blocks)]
        if left > 0:
            raise FilesystemFull("the XFS file system is too small for so many files")
        found: list[int] = []
        for group in self._groups:
            high = group.number << geometry.group_bits + geometry.inode_bits
            room = len(group.chunks) * CHUNK
            taken = min(room - group.used, count - len(found))
            for index in range(group.used, group.used + taken):
                found.append(high | group.chunks[index // CHUNK] + index % CHUNK)
            group.used += taken
        return found

    def _make_chunks(self, group: _Group, wanted: int) -> int:
        """Reserve contiguous space for chunks of inodes; return the number of chunks."""
        geometry = self.geometry
        at = max(range(len(group.free)), key=lambda index: group.free[index][1])
        start, length = group.free[at]
        first = -(-start // geometry.alignment) * geometry.alignment
        most = min(start + length - first, geometry.group_blocks // INODE_SHARE)
        count = min(wanted, most // geometry.chunk_blocks)
        after = first + count * geometry.chunk_blocks
        rest = ((start, first - start), (after, start + length - after))
        group.free[at : at + 1] = [extent for extent in rest if extent[1]]
        inodes_per_block = 1 << geometry.inode_bits
        group.chunks += range(
            first * inodes_per_block,
            after * inodes_per_block,
            geometry.chunk_blocks * inodes_per_block,
        )
        return count

    def unused_inodes(self) -> list[int]:
        """Return the inodes in chunks that were not allocated."""
        bits = self.geometry.group_bits + self.geometry.inode_bits
        return [
            group.number << bits | group.chunks[index // CHUNK] + index % CHUNK
            for group in self._groups
            for index in range(group.used, len(group.chunks) * CHUNK)
        ]

    def write_block(self, block: int, data: bytes) -> None:
        """Write a block."""
        self._write(self.geometry.byte_of_block(block), data)

    def write_inode(self, number: int, data: bytes) -> None:
        """Write an inode."""
        self._write(self.geometry.byte_of_inode(number), data)

    def finish(self) -> None:
        """Write the indexes and counters that record the used blocks and inodes."""
        made = used = 0
        for group in self._groups:
            made += len(group.chunks) * CHUNK
            used += group.used
            self._write_inode_indexes(group)
        for group in self._groups:
            self._write_free_space(group)
        data = self._superblock
        version, (free,) = (
            struct.unpack_from(">H", data, 100)[0],
            struct.unpack_from(">Q", data, 144),
        )
        struct.pack_into(">H", data, 100, version | _ATTRIBUTES)
        free -= self._free_before - self._free_blocks()
        struct.pack_into(">QQQ", data, 128, made, made - used, free)
        self._write(0, sealed(data, 224))

    def _write_free_space(self, group: _Group) -> None:
        header = bytearray(self._read_header(group.number, 1))
        by_place, by_size = struct.unpack_from(">II", header, 16)
        extents = group.free
        for magic, root, records in (
            (b"AB3B", by_place, extents),
            (b"AB3C", by_size, sorted(extents, key=lambda extent: extent[::-1])),
        ):
            packed = [struct.pack(">II", *extent) for extent in records]
            self._write_index_block(group, magic, root, 0, packed, (NULL, NULL))
        total, longest = sum(e[1] for e in extents), max((e[1] for e in extents), default=0)
        struct.pack_into(">II", header, 52, total, longest)
        self._write_header(group.number, 1, header, 216)

    def _write_inode_indexes(self, group: _Group) -> None:
        header = bytearray(self._read_header(group.number, 2))
        records: list[tuple[int, int]] = []
        for index, first in enumerate(group.chunks):
            used = min(max(group.used - index * CHUNK, 0), CHUNK)
            records.append((first, CHUNK - used))
        free = [record for record in records if record[1]]
        (root,), (free_root,) = (struct.unpack_from(">I", header, at) for at in (20, 328))
        levels, blocks = self._write_inode_index(group, b"IAB3", root, records)
        free_levels, free_blocks = self._write_inode_index(group, b"FIB3", free_root, free)
        made, left = len(records) * CHUNK, sum(record[1] for record in records)
        newest = records[-1][0] if records else NULL
        struct.pack_into(">IIIII", header, 16, made, root, levels, left, newest)
        struct.pack_into(">IIII", header, 328, free_root, free_levels, blocks, free_blocks)
        self._write_header(group.number, 2, header, 312)

    def _write_inode_index(
        self, group: _Group, magic: bytes, root: int, chunks: Sequence[tuple[int, int]]
    ) -> tuple[int, int]:
        """Write a B-tree of chunks, given as (first inode, number of free inodes).

        Returns:
            The number of levels and the number of blocks.
        """
        mask = (1 << CHUNK) - 1
        level, blocks, per_block = 0, 0, _LEAF_RECORDS
        items = [
            (
                first,
                struct.pack(
                    ">IHBBQ", first, 0, CHUNK, free, mask >> (CHUNK - free) << CHUNK - free
                ),
            )
            for first, free in chunks
        ]
        while True:
            parts = balanced(items, per_block)
            places = [root] if len(parts) == 1 else [group.index.pop() for _ in parts]
            around = [NULL, *places, NULL]
            for index, (place, part) in enumerate(zip(places, parts, strict=True)):
                packed = [item[1] for item in part]
                if level:
                    keys = [struct.pack(">I", item[0]) for item in part]
                    packed = [*keys, bytes(4 * (per_block - len(part))), *packed]
                siblings = (around[index], around[index + 2])
                self._write_index_block(group, magic, place, level, packed, siblings, len(part))
            level, blocks = level + 1, blocks + len(parts)
            if len(parts) == 1:
                return level, blocks
            items = [
                (part[0][0], struct.pack(">I", place))
                for place, part in zip(places, parts, strict=True)
            ]
            per_block = _NODE_RECORDS

    def _index_block(self, group: _Group) -> int:
        """Allocate a block of a group for its indexes."""
        if not group.free:
            raise FilesystemFull("the XFS file system is too small for its content")
        start, length = group.free[-1]
        group.free[-1] = (start, length - 1)
        if length == 1:
            del group.free[-1]
        return start + length - 1

    def _write_index_block(
        self,
        group: _Group,
        magic: bytes,
        place: int,
        level: int,
        packed: list[bytes],
        siblings: tuple[int, int],
        count: int | None = None,
    ) -> None:
        block = bytearray(BLOCK)
        at = (group.number * self.geometry.group_blocks + place) * BLOCK
        count = len(packed) if count is None else count
        struct.pack_into(">4sHHII", block, 0, magic, level, count, *siblings)
        struct.pack_into(">QQ16sI", block, 16, at // 512, 0, self.geometry.uuid, group.number)
        data = b"".join(packed)
        block[_SHORT_HEADER : _SHORT_HEADER + len(data)] = data
        self._write(at, sealed(block, 52))

    def _header_place(self, group: int, sector: int) -> int:
        return group * self.geometry.group_blocks * BLOCK + sector * self.geometry.sector

    def _read_header(self, group: int, sector: int) -> bytes:
        return self._read(self._header_place(group, sector), self.geometry.sector)

    def _write_header(self, group: int, sector: int, data: bytearray, checksum: int) -> None:
        self._write(self._header_place(group, sector), sealed(data, checksum))

    def _read(self, at: int, size: int) -> bytes:
        self._file.seek(at)
        return self._file.read(size)

    def _write(self, at: int, data: bytes) -> None:
        self._file.seek(at)
        self._file.write(data)
