"""File systems: one module makes one kind, filled from a directory, without mounting."""

from collections.abc import Mapping

from kiwinb.create.filesystem.btrfs import BTRFS
from kiwinb.create.filesystem.ext import EXT2, EXT3, EXT4
from kiwinb.create.filesystem.spec import FilesystemMaker
from kiwinb.create.filesystem.swap import SWAP
from kiwinb.create.filesystem.vfat import FAT16, FAT32
from kiwinb.create.filesystem.xfs import XFS

FILESYSTEMS: Mapping[str, FilesystemMaker] = {
    "btrfs": BTRFS,
    "ext2": EXT2,
    "ext3": EXT3,
    "ext4": EXT4,
    "fat16": FAT16,
    "fat32": FAT32,
    "swap": SWAP,
    "xfs": XFS,
}
"""By the name that a description gives it."""
