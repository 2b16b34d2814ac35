"""Make file systems and fill them from directories without mounting, one module for each kind."""

from kiwinb.errors import ImageError
from kiwinb.steps.registry import Registry
from kiwinb.storage.filesystem.btrfs import BTRFS
from kiwinb.storage.filesystem.erofs import EROFS
from kiwinb.storage.filesystem.ext import EXT2, EXT3, EXT4
from kiwinb.storage.filesystem.spec import FilesystemMaker
from kiwinb.storage.filesystem.squashfs import SQUASHFS
from kiwinb.storage.filesystem.swap import SWAP
from kiwinb.storage.filesystem.vfat import FAT16, FAT32
from kiwinb.storage.filesystem.xfs import XFS

FILESYSTEMS: Registry[FilesystemMaker] = Registry(
    "file system",
    (BTRFS, EROFS, EXT2, EXT3, EXT4, FAT16, FAT32, SQUASHFS, SWAP, XFS),
    error=ImageError,
)
"""File systems, by their names in descriptions."""

DEFAULT_ROOT = EXT4
"""File system of a root partition for which the description does not name one."""
