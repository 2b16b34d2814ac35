"""Bootloaders: one module sets up one kind, in the root tree, before there is a disk."""

from kiwinb.bootloader.custom import Custom
from kiwinb.bootloader.grub2.loader import Grub2
from kiwinb.bootloader.setup import BootloaderMaker
from kiwinb.errors import ImageError
from kiwinb.steps.registry import Registry

BOOTLOADERS: Registry[BootloaderMaker] = Registry(
    "bootloader", (Custom(), Grub2()), error=ImageError
)
"""By the name that a description gives it."""
