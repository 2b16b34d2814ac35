"""Geometry of an XFS file system (version 5), and what its blocks have in common.

Source of the format: the book "XFS Algorithms & Data Structures". Numbers are big endian, except
for the checksums.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from kiwinb.errors import ImageError
from kiwinb.storage.filesystem.libext2fs import crc32c

BLOCK = 4096
CHUNK = 64
"""Number of inodes that are created together."""

NULL = 0xFFFFFFFF
MOST_BLOCKS = (1 << 21) - 1
"""Largest number of blocks of an extent."""

_MAGIC = b"XFSB"
_BIG_TIMES = 0x8
_READ_ONLY_FEATURES = 0x1 | 0x4 | 0x8  # free inode index, shared blocks, counted inode indexes
_FEATURES = 0x1 | 0x2 | 0x8  # file types, sparse inodes, times beyond 2038


@dataclass(frozen=True)
class Geometry:
    """Geometry of a file system, from its superblock.

    Attributes:
        uuid: UUID of the file system.
        group_blocks: Number of blocks of an allocation group.
        group_bits: Number of bits of a block number within its group.
        groups: Number of allocation groups.
        sector: Size of a sector in bytes.
        inode_size: Size of an inode in bytes.
        inode_bits: Number of bits of an inode number within its block.
        alignment: Number of blocks to which chunks of inodes are aligned.
        root: Inode of the root directory.
        own_inodes: Inodes of the bitmap and the summary of the real-time section.
        big_times: Whether times are nanoseconds since 1901.
    """

    uuid: bytes
    group_blocks: int
    group_bits: int
    groups: int
    sector: int
    inode_size: int
    inode_bits: int
    alignment: int
    root: int
    own_inodes: tuple[int, int]
    big_times: bool

    @classmethod
    def read(cls, superblock: bytes) -> Geometry:
        """Read the geometry from a superblock.

        Raises:
            ImageError: kiwinb does not support a feature of the file system.
        """
        if superblock[:4] != _MAGIC:
            raise ImageError("mkfs.xfs made no XFS file system")
        block, directory_bits = struct.unpack_from(">I", superblock, 4)[0], superblock[192]
        read_only, features = struct.unpack_from(">II", superblock, 212)
        if block != BLOCK or directory_bits:
            raise ImageError("kiwinb fills XFS file systems with blocks of 4096 bytes only")
        if read_only & ~_READ_ONLY_FEATURES or features & ~_FEATURES:
            raise ImageError(
                "kiwinb does not support the features of XFS that the options select",
                remedy="leave options such as -m rmapbt, -m parent and -i exchange out",
            )
        root, bitmap, summary = struct.unpack_from(">QQQ", superblock, 56)
        group_blocks, groups = struct.unpack_from(">II", superblock, 84)
        sector, inode_size = struct.unpack_from(">HH", superblock, 102)
        (alignment,) = struct.unpack_from(">I", superblock, 180)
        return cls(
            uuid=superblock[32:48],
            group_blocks=group_blocks,
            group_bits=superblock[124],
            groups=groups,
            sector=sector,
            inode_size=inode_size,
            inode_bits=superblock[123],
            alignment=alignment or 1,
            root=root,
            own_inodes=(bitmap, summary),
            big_times=bool(features & _BIG_TIMES),
        )

    @property
    def chunk_blocks(self) -> int:
        """Number of blocks of a chunk of inodes."""
        return CHUNK * self.inode_size // BLOCK

    def byte_of_block(self, block: int) -> int:
        """Return the byte offset of a block in the image."""
        group = block >> self.group_bits
        within = block & (1 << self.group_bits) - 1
        return (group * self.group_blocks + within) * BLOCK

    def byte_of_inode(self, inode: int) -> int:
        """Return the byte offset of an inode in the image."""
        within = inode & (1 << self.inode_bits) - 1
        return self.byte_of_block(inode >> self.inode_bits) + within * self.inode_size

    def sector_of_block(self, block: int) -> int:
        """Return the place of a block in sectors of 512 bytes, which block headers record."""
        return self.byte_of_block(block) // 512


def sealed(block: bytearray, checksum: int) -> bytes:
    """Return a block with its checksum set.

    Args:
        block: The block.
        checksum: Byte offset of the checksum field.
    """
    block[checksum : checksum + 4] = bytes(4)
    struct.pack_into("<I", block, checksum, crc32c(block) ^ 0xFFFFFFFF)
    return bytes(block)


_Item = TypeVar("_Item")


def balanced(items: Sequence[_Item], most: int) -> list[Sequence[_Item]]:
    """Divide items into as few parts of about the same size as possible, and at least one.

    Blocks of a B-tree, except for its root, have to be at least half full.

    Args:
        items: The items.
        most: Largest number of items in a part.
    """
    count = max(1, -(-len(items) // most))
    cuts = [len(items) * index // count for index in range(count + 1)]
    return [items[start:end] for start, end in pairwise(cuts)]
