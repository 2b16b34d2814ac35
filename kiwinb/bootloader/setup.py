"""What a bootloader is told, and what each module that sets one up offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kiwinb.description.model import Bootloader
from kiwinb.steps.step import StepContext
from kiwinb.storage.layout import DiskLayout


@dataclass(frozen=True)
class BootSetup:
    """How an image boots.

    Attributes:
        layout: Its disk.
        settings: Of the description.
        title: Of the menu entry.
        kernel_options: The kernel command line.
        arch: As ``uname -m`` prints it.
        bios: A BIOS boots it.
        efi: EFI firmware boots it.
        secure: With the distribution's signed loaders, where the tree has them.
        initrd: The kernel needs an initrd.
        epoch: Time of the build, in seconds since 1970-01-01 UTC.
    """

    layout: DiskLayout
    settings: Bootloader
    title: str
    kernel_options: str
    arch: str
    bios: bool
    efi: bool
    secure: bool
    initrd: bool
    epoch: int


class BootloaderMaker(Protocol):
    """One bootloader; each is one module, registered in ``BOOTLOADERS``."""

    @property
    def name(self) -> str:
        """What a description calls it."""
        ...

    @property
    def revision(self) -> int:
        """See :class:`~kiwinb.steps.registry.Plugin`."""
        ...

    def boot_code(self, setup: BootSetup) -> str | None:
        """Directory of the tree that has the boot code for a BIOS, if a BIOS boots it."""
        ...

    def configure(self, context: StepContext, setup: BootSetup) -> None:
        """Write its configuration into the tree.

        Raises:
            ImageError: The tree has no kernel, or no initrd.
        """
        ...

    def install(self, context: StepContext, setup: BootSetup) -> None:
        """Put the loader itself into the tree: ``/boot`` and ``/boot/efi``.

        Raises:
            ImageError: Neither the tree nor the host has what it takes.
        """
        ...
