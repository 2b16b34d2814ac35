"""Bootloaders: one module sets up one kind, in the root tree, before there is a disk."""

from collections.abc import Mapping

from kiwinb.bootloader.custom import Custom
from kiwinb.bootloader.grub2.loader import Grub2
from kiwinb.bootloader.setup import BootloaderMaker

BOOTLOADERS: Mapping[str, BootloaderMaker] = {
    "custom": Custom(),
    "grub2": Grub2(),
}
"""By the name that a description gives it."""
