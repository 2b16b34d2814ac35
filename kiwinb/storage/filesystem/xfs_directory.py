"""Directories of XFS (version 5): their entries and hash indexes.

A few entries fit in the inode itself. More entries fit in one block together with their index. Even
more are in blocks of entries, with blocks of the index from 32 GiB on, and blocks that record free
space from 64 GiB on.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kiwinb.storage.filesystem.xfs_geometry import BLOCK, balanced, sealed

LEAF_START = (32 << 30) // BLOCK
FREE_START = (64 << 30) // BLOCK
"""First block of a directory's index, and of its free space records."""

_HEADER = 64
_FIRST = 96  # offset of the first entry after "." and ".."
_ENTRIES = (BLOCK - _HEADER) // 8
_DIRECTORY = 2


@dataclass(frozen=True)
class Name:
    """An entry of a directory.

    Attributes:
        name: The name.
        inode: The inode with this name.
        type: The file type.
    """

    name: bytes
    inode: int
    type: int

    @property
    def size(self) -> int:
        """Size in a block, in bytes."""
        return -(-(12 + len(self.name)) // 8) * 8


@dataclass(frozen=True)
class Part:
    """A block of a directory or of attributes, without the fields that :meth:`sealed` sets.

    Attributes:
        offset: Place in the fork, in blocks.
        data: The bytes.
        layout: Byte offsets of the fields for place, UUID, owner and checksum.
    """

    offset: int
    data: bytes
    layout: tuple[int, int, int, int]

    @property
    def is_data(self) -> bool:
        """Whether the block holds entries."""
        return self.offset < LEAF_START

    def sealed(self, *, sector: int, uuid: bytes, owner: int) -> bytes:
        """Return the bytes with the fields for a place set.

        Args:
            sector: Place in the file system, in sectors of 512 bytes.
            uuid: UUID of the file system.
            owner: Inode that the block belongs to.
        """
        block = bytearray(self.data)
        place, identity, inode, checksum = self.layout
        struct.pack_into(">Q", block, place, sector)
        block[identity : identity + 16] = uuid
        struct.pack_into(">Q", block, inode, owner)
        return sealed(block, checksum)


_DATA_LAYOUT = (8, 24, 40, 4)
INDEX_LAYOUT = (16, 32, 48, 12)


def name_hash(name: bytes) -> int:
    """Compute XFS's hash of a name in a directory or of an extended attribute."""
    value = 0
    for byte in name:
        value = ((value << 7 | value >> 25) & 0xFFFFFFFF) ^ byte
    return value


def short_directory(names: Sequence[Name], parent: int) -> bytes:
    """Pack a directory that is stored in its inode, with 32-bit inode numbers."""
    parts, offset = [struct.pack(">BBI", len(names), 0, parent)], _FIRST
    for name in names:
        parts.append(struct.pack(">BH", len(name.name), offset))
        parts += [name.name, struct.pack(">BI", name.type, name.inode)]
        offset += name.size
    return b"".join(parts)


def short_size(names: Sequence[Name], parent: int) -> int:
    """Return the size of :func:`short_directory` in bytes; a huge one if it cannot be used."""
    large = len(names) > 127 or parent >> 32 or any(name.inode >> 32 for name in names)
    return 1 << 16 if large else 6 + sum(8 + len(name.name) for name in names)


def directory_parts(names: Sequence[Name], own: int, parent: int) -> list[Part]:
    """Build the blocks of a directory.

    Args:
        names: The entries, without ``.`` and ``..``.
        own: Inode of the directory.
        parent: Inode of its parent directory.
    """
    everything = [Name(b".", own, _DIRECTORY), Name(b"..", parent, _DIRECTORY), *names]
    tail = 8 + 8 * len(everything)
    if _HEADER + sum(name.size for name in everything) + tail <= BLOCK:
        return [_single(everything, tail)]
    blocks = list(_data_blocks(everything))
    leaves = sorted(pair for _, pairs, _ in blocks for pair in pairs)
    free = [left for _, _, left in blocks]
    parts = [Part(index, block, _DATA_LAYOUT) for index, (block, _, _) in enumerate(blocks)]
    if _HEADER + 8 * len(leaves) + 2 * len(free) + 4 <= BLOCK:
        return [*parts, _only_leaf(leaves, free)]
    return [*parts, *_index(leaves), *_free_space(free)]


def _single(names: Sequence[Name], tail: int) -> Part:
    block, pairs, _ = _data_block(b"XDB3", names, 0, BLOCK - tail)
    packed = b"".join(struct.pack(">II", *pair) for pair in sorted(pairs))
    block[BLOCK - tail :] = packed + struct.pack(">II", len(pairs), 0)
    return Part(0, bytes(block), _DATA_LAYOUT)


def _data_blocks(names: Sequence[Name]) -> Iterator[tuple[bytes, list[tuple[int, int]], int]]:
    index, part, used = 0, list[Name](), _HEADER
    for name in names:
        if used + name.size > BLOCK:
            block, pairs, left = _data_block(b"XDD3", part, index, BLOCK)
            yield bytes(block), pairs, left
            index, part, used = index + 1, [], _HEADER
        part.append(name)
        used += name.size
    block, pairs, left = _data_block(b"XDD3", part, index, BLOCK)
    yield bytes(block), pairs, left


def _data_block(
    magic: bytes, names: Sequence[Name], index: int, end: int
) -> tuple[bytearray, list[tuple[int, int]], int]:
    """Build a block of entries.

    Returns:
        The block, (hash, address) of each entry, and the number of free bytes.
    """
    block, at = bytearray(BLOCK), _HEADER
    block[:4] = magic
    pairs = []
    for name in names:
        struct.pack_into(">QB", block, at, name.inode, len(name.name))
        block[at + 9 : at + 9 + len(name.name)] = name.name
        block[at + 9 + len(name.name)] = name.type
        struct.pack_into(">H", block, at + name.size - 2, at)
        pairs.append((name_hash(name.name), (index * BLOCK + at) >> 3))
        at += name.size
    left = end - at
    if left:
        struct.pack_into(">HH", block, 48, at, left)
        struct.pack_into(">HH", block, at, 0xFFFF, left)
        struct.pack_into(">H", block, end - 2, at)
    return block, pairs, left


def _only_leaf(leaves: Sequence[tuple[int, int]], free: Sequence[int]) -> Part:
    block = _leaf(0x3DF1, leaves, 0, 0)
    tail = struct.pack(f">{len(free)}HI", *free, len(free))
    block[BLOCK - len(tail) :] = tail
    return Part(LEAF_START, bytes(block), INDEX_LAYOUT)


def _leaf(
    magic: int, leaves: Sequence[tuple[int, int]], following: int, previous: int
) -> bytearray:
    block = bytearray(BLOCK)
    struct.pack_into(">IIH", block, 0, following, previous, magic)
    struct.pack_into(">HH", block, 56, len(leaves), 0)
    packed = b"".join(struct.pack(">II", *pair) for pair in leaves)
    block[_HEADER : _HEADER + len(packed)] = packed
    return block


def _index(leaves: Sequence[tuple[int, int]]) -> Iterator[Part]:
    """Yield the blocks of an index tree, whose root comes first in the directory."""
    levels = [balanced(leaves, _ENTRIES)]
    while len(levels[-1]) > 1:
        # The 0 is replaced once the number of blocks of each level, and so their places, is known.
        levels.append(balanced([(part[-1][0], 0) for part in levels[-1]], _ENTRIES))
    first, starts = LEAF_START, list[int]()
    for parts in reversed(levels):
        starts.insert(0, first)
        first += len(parts)
    for level, parts in enumerate(levels):
        below = starts[level - 1]
        for index, part in enumerate(parts):
            own = starts[level] + index
            following = own + 1 if index + 1 < len(parts) else 0
            previous = own - 1 if index else 0
            if level:
                numbered = [(pair[0], below + place) for place, pair in enumerate(part)]
                below += len(part)
                block = _leaf(0x3EBE, numbered, following, previous)
                struct.pack_into(">HH", block, 56, len(part), level)
            else:
                block = _leaf(0x3DFF, part, following, previous)
            yield Part(own, bytes(block), INDEX_LAYOUT)


def _free_space(free: Sequence[int]) -> Iterator[Part]:
    per_block = (BLOCK - _HEADER) // 2
    for number, at in enumerate(range(0, len(free), per_block)):
        part = free[at : at + per_block]
        block = bytearray(BLOCK)
        block[:4] = b"XDF3"
        struct.pack_into(">III", block, 48, at, len(part), len(part))
        struct.pack_into(f">{len(part)}H", block, _HEADER, *part)
        yield Part(FREE_START + number, bytes(block), _DATA_LAYOUT)
