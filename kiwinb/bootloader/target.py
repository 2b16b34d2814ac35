"""What a bootloader is told, what it gives back, and what each of them offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from kiwinb.bootloader.host import HostDirectory, HostFiles
from kiwinb.description.model import Bootloader, ImageDescription
from kiwinb.steps.step import StepContext
from kiwinb.storage.patches import Patch

DEFAULT_TIMEOUT = 10
"""Seconds that a menu is shown where the description does not say."""

Medium = Literal["disk", "iso", "network"]


@dataclass(frozen=True)
class BootPlace:
    """How a bootloader finds ``/boot`` when the firmware has started it.

    Attributes:
        uuid: What ``UUID=`` calls the file system that has it.
        own: It is a file system of its own, so that paths in it lack ``/boot``.
        modules: GRUB's modules that read it, the partition table first.
    """

    uuid: str
    own: bool
    modules: tuple[str, ...]

    def path(self, path: str) -> str:
        """A path of the tree, below ``/boot``, as the bootloader sees it."""
        return path.removeprefix("/boot") if self.own else path


@dataclass(frozen=True)
class CoreRoom:
    """Where a disk has room for the code that a BIOS loads.

    Attributes:
        sector: The first one, of 512 bytes.
        count: How many there are.
    """

    sector: int
    count: int


@dataclass(frozen=True)
class BootTarget:
    """What is to be started, and from where.

    Attributes:
        medium: A disk, an ISO image, or the network.
        settings: Of the description.
        title: Of the menu entry.
        kernel_options: The kernel command line.
        arch: As ``uname -m`` prints it.
        efi: EFI firmware boots it.
        secure: With the distribution's signed loaders, where the tree has them.
        initrd: The kernel needs an initrd.
        unified: Kernel, initrd and command line are to be one file.
        epoch: Time of the build, in seconds since 1970-01-01 UTC.
        boot: Where ``/boot`` is.
        core: Where the code for a BIOS goes; ``None`` when no BIOS boots it.
        host_files: Files of the host that may be taken, by their purpose.
    """

    medium: Medium
    settings: Bootloader
    title: str
    kernel_options: str
    arch: str
    efi: bool
    secure: bool
    initrd: bool
    unified: bool
    epoch: int
    boot: BootPlace
    core: CoreRoom | None = None
    host_files: tuple[tuple[str, HostFiles], ...] = ()

    def host(self, purpose: str) -> Path | None:
        """The directory of the host for a purpose, if the host has it."""
        return next((files.source.path for name, files in self.host_files if name == purpose), None)


@dataclass(frozen=True)
class BootFacts:
    """What is known once the file systems are filled.

    Attributes:
        images: The images of the file systems by key, for a loader that asks for them.
    """

    images: Mapping[str, Path]


class BootloaderMaker(Protocol):
    """One bootloader; each is one module, registered in ``BOOTLOADERS``.

    It has two acts: it configures the tree before the file systems are filled, and it finalises
    the image afterwards.
    """

    @property
    def name(self) -> str:
        """What a description calls it."""
        ...

    @property
    def revision(self) -> int:
        """See :class:`~kiwinb.steps.registry.Plugin`."""
        ...

    @property
    def honours(self) -> frozenset[str]:
        """The attributes and children of ``<bootloader>`` that change what it makes."""
        ...

    @property
    def boots_bios(self) -> bool:
        """Whether a BIOS can boot what it sets up."""
        ...

    @property
    def embeds_code(self) -> bool:
        """Whether it puts code for a BIOS beside the partitions."""
        ...

    @property
    def keeps_environment(self) -> bool:
        """Whether it has variables of its own that survive a reboot."""
        ...

    @property
    def needs_filesystems(self) -> bool:
        """Whether the second act has to know the images of the file systems."""
        ...

    def esp_size(self, image: ImageDescription) -> int:
        """MiB of the EFI system partition where the description does not say."""
        ...

    def host_directories(self, image: ImageDescription) -> Mapping[str, HostDirectory]:
        """Directories of the host that it may take files from, by their purpose."""
        ...

    def configure(self, context: StepContext, target: BootTarget) -> None:
        """The first act: write into the tree what belongs there.

        Raises:
            ImageError: The tree lacks a kernel, an initrd, or what the loader is made of.
        """
        ...

    def finalise(
        self, context: StepContext, target: BootTarget, facts: BootFacts, esp: Path
    ) -> tuple[Patch, ...]:
        """The second act: write the files of the EFI system partition.

        Args:
            context: Of the step; its root is the configured tree.
            target: As for :meth:`configure`.
            facts: What is known now.
            esp: Directory that becomes the EFI system partition.

        Returns:
            Bytes that go to places of the disk.

        Raises:
            ImageError: The loader does not fit, or the tree lacks what it is made of.
        """
        ...
