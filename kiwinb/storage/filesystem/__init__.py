"""File systems: one module makes one kind, filled from a directory, without mounting."""

from collections.abc import Mapping

from kiwinb.storage.filesystem.btrfs import BTRFS
from kiwinb.storage.filesystem.ext import EXT2, EXT3, EXT4
from kiwinb.storage.filesystem.spec import FilesystemMaker
from kiwinb.storage.filesystem.swap import SWAP
from kiwinb.storage.filesystem.vfat import FAT16, FAT32
from kiwinb.storage.filesystem.xfs import XFS

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
