"""Bootloaders, one module for each, all registered here."""

from kiwinb.bootloader.custom import Custom
from kiwinb.bootloader.grub2.loader import Grub2
from kiwinb.bootloader.systemd_boot import SystemdBoot
from kiwinb.bootloader.target import BootloaderMaker
from kiwinb.errors import ImageError
from kiwinb.steps.registry import Registry

BOOTLOADERS: Registry[BootloaderMaker] = Registry(
    "bootloader", (Custom(), Grub2(), SystemdBoot()), error=ImageError
)
"""Bootloaders, by the value of the ``name`` attribute of a ``<bootloader>``."""
