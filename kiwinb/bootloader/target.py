"""The protocol that every bootloader implements, and the data that it works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from kiwinb.bootloader.host import HostDirectory, HostFiles
from kiwinb.description.model import Bootloader, ImageDescription
from kiwinb.distributions import find_in_tree
from kiwinb.distributions.distribution import Distribution
from kiwinb.steps.registry import Used
from kiwinb.steps.step import StepContext
from kiwinb.storage.patches import Patch

DEFAULT_TIMEOUT = 10
"""Seconds that the boot menu is shown if the description gives no timeout."""

Medium = Literal["disk", "iso", "network"]


@dataclass(frozen=True)
class BootPlace:
    """How a bootloader finds ``/boot`` once the firmware has started it.

    Attributes:
        uuid: UUID of the file system that holds ``/boot``, as in ``UUID=``.
        own: Whether ``/boot`` is a separate file system, whose paths do not start with ``/boot``.
        modules: GRUB's modules that read it, starting with that for the partition table.
    """

    uuid: str
    own: bool
    modules: tuple[str, ...]

    def path(self, path: str) -> str:
        """Return the bootloader's path for a path of the tree below ``/boot``."""
        return path.removeprefix("/boot") if self.own else path


@dataclass(frozen=True)
class CoreRoom:
    """The sectors of a disk that have room for the bootloader's code for BIOS firmware.

    Attributes:
        sector: The first sector; sectors have 512 bytes.
        count: The number of sectors.
    """

    sector: int
    count: int


@dataclass(frozen=True)
class BootTarget:
    """Description of a boot for the bootloader.

    Attributes:
        medium: A disk, an ISO image, or the network.
        settings: Settings from the description.
        title: Title of the menu entry.
        kernel_options: The kernel command line.
        arch: Architecture, as ``uname -m`` prints it.
        efi: Whether EFI firmware boots the image.
        secure: Whether to use the distribution's signed EFI programs, if the tree has them.
        initrd: Whether the kernel needs an initrd.
        unified: Whether kernel, initrd and command line are to be a single file.
        epoch: Time of the build, in seconds since 1970-01-01 UTC.
        boot: Location of ``/boot``.
        core: Sectors for the code for BIOS firmware; ``None`` if there is none to write.
        host_files: Files of the host that may be used, by purpose.
        distributions: The distributions that the tree may be of; see
            :func:`~kiwinb.distributions.find_in_tree`.
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
    distributions: tuple[Used, ...] = ()

    def host(self, purpose: str) -> Path | None:
        """Return the directory of the host for a purpose; ``None`` if the host does not have it."""
        return next((files.source.path for name, files in self.host_files if name == purpose), None)

    def find_distribution(self, root: Path) -> Distribution:
        """Find the distribution of a root tree; see :func:`kiwinb.distributions.find_in_tree`.

        Raises:
            ImageError: The distribution is not known.
        """
        return find_in_tree(root, self.distributions)


@dataclass(frozen=True)
class BootFacts:
    """Facts that are known once the file systems are filled.

    Attributes:
        images: Images of the file systems, by key; empty unless the bootloader needs them.
    """

    images: Mapping[str, Path]


class BootloaderMaker(Protocol):
    """A bootloader; each is one module, registered in ``BOOTLOADERS``.

    It works in two steps: :meth:`configure` changes the tree before the file systems are filled,
    and :meth:`finalise` makes files of the EFI system partition and boot code afterwards.
    """

    @property
    def name(self) -> str:
        """The value of the ``name`` attribute of ``<bootloader>``."""
        ...

    @property
    def revision(self) -> int:
        """See :class:`~kiwinb.steps.registry.Plugin`."""
        ...

    @property
    def honours(self) -> frozenset[str]:
        """The attributes and child elements of ``<bootloader>`` that affect the result."""
        ...

    @property
    def boots_bios(self) -> bool:
        """Whether BIOS firmware can start the bootloader."""
        ...

    @property
    def embeds_code(self) -> bool:
        """Whether the bootloader writes code for BIOS firmware outside the partitions."""
        ...

    @property
    def keeps_environment(self) -> bool:
        """Whether the bootloader has its own variables, which survive a reboot."""
        ...

    @property
    def needs_filesystems(self) -> bool:
        """Whether :meth:`finalise` reads the images of the file systems."""
        ...

    def esp_size(self, image: ImageDescription) -> int:
        """Size in MiB of the EFI system partition if the description does not give one."""
        ...

    def host_directories(self, image: ImageDescription) -> Mapping[str, HostDirectory]:
        """Directories of the host that the bootloader may take files from, by purpose."""
        ...

    def configure(self, context: StepContext, target: BootTarget) -> None:
        """Write the bootloader's files into the tree, before the file systems are filled.

        Raises:
            ImageError: The tree lacks a kernel, an initrd, or files that the bootloader needs.
        """
        ...

    def finalise(
        self, context: StepContext, target: BootTarget, facts: BootFacts, esp: Path
    ) -> tuple[Patch, ...]:
        """Write the files of the EFI system partition, after the file systems are filled.

        Args:
            context: Context of the step; its root is the configured tree.
            target: The same as for :meth:`configure`.
            facts: Facts that are known once the file systems are filled.
            esp: Directory whose content becomes the EFI system partition.

        Returns:
            Bytes to write to the disk outside the partitions.

        Raises:
            ImageError: The boot code does not fit, or the tree lacks files that the bootloader
                needs.
        """
        ...
