"""Features of an ext2, ext3 or ext4 file system, and the limits that follow from them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kiwinb.storage.filesystem.ext_directory import Form
from kiwinb.storage.filesystem.libext2fs import OpenFilesystem
from kiwinb.storage.filesystem.limits import Limits

MOST_LINKS = 65_000
"""Number of links of an inode up to which the kernel counts."""

_INDEXES = 0x20  # compatible feature
_TYPES, _EXTENTS = 0x2, 0x40  # incompatible features
_HUGE_FILES, _MANY_SUBDIRECTORIES, _CHECKSUMS = 0x8, 0x20, 0x400  # read-only features
_UNSIGNED_HASH, _UNSIGNED = 0x2, 3
_BOUNDLESS = 1 << 40


@dataclass(frozen=True)
class Features:
    """Features of a file system, from its superblock.

    Attributes:
        block: Size of a block in bytes.
        inode_size: Size of an inode in bytes.
        extents: Whether files have extents.
        huge_files: Whether the size of a file on disk is counted in blocks.
        many_subdirectories: Whether a directory can have more of them than the kernel counts.
        indexes: Whether directories have indexes.
        types: Whether entries of directories have a type.
        checksums: Whether metadata has checksums.
        version: Number of the hash function for directories.
        unsigned: Whether the hash function takes characters as unsigned.
        seed: Seed of the hash function.
    """

    block: int
    inode_size: int
    extents: bool
    huge_files: bool
    many_subdirectories: bool
    indexes: bool
    types: bool
    checksums: bool
    version: int
    unsigned: bool
    seed: bytes

    @classmethod
    def read(cls, image: Path) -> Features:
        """Read them from a file system in a file."""
        with image.open("rb") as file:
            file.seek(1024)
            superblock = file.read(1024)
        compatible, incompatible, read_only = struct.unpack_from("<III", superblock, 0x5C)
        (size,) = struct.unpack_from("<I", superblock, 0x18)
        (inode_size,) = struct.unpack_from("<H", superblock, 0x58)
        (flags,) = struct.unpack_from("<I", superblock, 0x160)
        return cls(
            block=1024 << size,
            inode_size=inode_size,
            extents=bool(incompatible & _EXTENTS),
            huge_files=bool(read_only & _HUGE_FILES),
            many_subdirectories=bool(read_only & _MANY_SUBDIRECTORIES),
            indexes=bool(compatible & _INDEXES),
            types=bool(incompatible & _TYPES),
            checksums=bool(read_only & _CHECKSUMS),
            version=superblock[0xFC],
            unsigned=bool(flags & _UNSIGNED_HASH),
            seed=superblock[0xEC:0xFC],
        )

    def form(self, filesystem: OpenFilesystem) -> Form:
        """Return how the file system stores directories."""
        function = self.version + (_UNSIGNED if self.unsigned else 0)
        return Form(
            block=self.block,
            checksums=self.checksums,
            types=self.types,
            version=self.version if self.indexes else None,
            hash=partial(filesystem.name_hash, function, self.seed),
        )

    def limits(self, name: str) -> Limits:
        """Return the limits of the file system, which has a name."""
        return Limits(
            name,
            target=self.block - 1,
            size=self._largest_file(),
            links=MOST_LINKS,
            subdirectories=_BOUNDLESS if self.many_subdirectories else MOST_LINKS - 2,
            times=(-(1 << 31), (1 << (34 if self.inode_size > 128 else 32)) - (1 << 31) - 1),
        )

    def _largest_file(self) -> int:
        if self.extents:
            return ((1 << 32) - 1) * self.block
        pointers = self.block // 4
        maps = 1 + (1 + pointers) + (1 + pointers + pointers**2)
        most = (1 << 48) - 1 if self.huge_files else ((1 << 32) - 1) * 512 // self.block
        addressed = 12 + pointers + pointers**2 + pointers**3
        return min(addressed, most - maps) * self.block
