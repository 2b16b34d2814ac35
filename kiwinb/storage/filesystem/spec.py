"""The protocol that every kind of file system implements, and the data that it works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kiwinb.errors import ImageError
from kiwinb.steps.registry import Used
from kiwinb.storage.filesystem.content import Content, Need


@dataclass(frozen=True)
class Filesystem:
    """Specification of a file system to make.

    Attributes:
        kind: The plug-in from ``FILESYSTEMS`` that makes it.
        uuid: UUID; FAT derives its volume ID from it.
        label: Label, or ``None``.
        options: Options that are passed to its mkfs unchanged.
        sector_size: Size in bytes of a logical sector of the disk.
        compression: Value of the attribute of ``<type>`` that sets the compression; ``None`` if the
            attribute is not set.
    """

    kind: Used
    uuid: str
    label: str | None = None
    options: tuple[str, ...] = ()
    sector_size: int = 512
    compression: str | None = None


@dataclass(frozen=True)
class Growth:
    """How the running system enlarges a file system or other node to the size of its device.

    Attributes:
        tool: The program that does it.
        package: The package that contains the program.
        command: Shell command, in which ``$device`` is the device of the mounted ``/``.
    """

    tool: str
    package: str
    command: str


class FilesystemFull(ImageError):
    """The content does not fit into the file system."""


@dataclass(frozen=True)
class Watch:
    """Callbacks that report progress while a file system is made.

    Attributes:
        log: Called with each line of output.
        progress: Called with the completed fraction, from 0.0 to 1.0.
    """

    log: Callable[[str], None]
    progress: Callable[[float], None]


class FilesystemMaker(Protocol):
    """A kind of file system; each is one module, registered in ``FILESYSTEMS``."""

    @property
    def name(self) -> str:
        """Name in descriptions."""
        ...

    @property
    def revision(self) -> int:
        """See :class:`~kiwinb.steps.registry.Plugin`."""
        ...

    @property
    def tools(self) -> tuple[str, ...]:
        """Programs of the host that make it."""
        ...

    @property
    def makes_images(self) -> bool:
        """Whether an image can consist of this file system alone."""
        ...

    @property
    def grub_module(self) -> str | None:
        """GRUB's module that reads it; ``None`` if GRUB cannot read it."""
        ...

    @property
    def growth(self) -> Growth | None:
        """How it grows while it is mounted; ``None`` if it cannot."""
        ...

    @property
    def subvolumes(self) -> bool:
        """Whether it has its own volumes, so that a volume setup does not need LVM."""
        ...

    @property
    def least_volume(self) -> int:
        """Free space in MiB of a volume whose size is not given."""
        ...

    @property
    def read_only(self) -> bool:
        """Whether it is read-only, and therefore exactly as large as its content."""
        ...

    @property
    def has_uuid(self) -> bool:
        """Whether it has a UUID by which a running system can find it."""
        ...

    @property
    def compression(self) -> str | None:
        """The attribute of ``<type>`` that sets its compression; ``None`` if there is none."""
        ...

    @property
    def fstab_type(self) -> str:
        """Type in ``/etc/fstab``."""
        ...

    @property
    def checked(self) -> bool:
        """Whether ``fsck`` should check it at boot."""
        ...

    def lacks(self, compression: str | None) -> str | None:
        """Say in one sentence why this host cannot use a compression; ``None`` if it can.

        Args:
            compression: See :class:`Filesystem`.
        """
        ...

    def size(self, need: Need) -> int:
        """Estimate the size in bytes of a file system for this content, which may be too small."""
        ...

    def make(self, image: Path, spec: Filesystem, content: Content, watch: Watch) -> None:
        """Make the file system and fill it.

        Args:
            image: The file, which has its final size and consists of one hole. A file system that
                is :attr:`read_only` creates the file or changes its size.
            spec: Specification of the file system.
            content: Content to fill it with.
            watch: Callbacks that report progress.

        Raises:
            FilesystemFull: The file is too small for the content.
            ImageError: This kind of file system cannot hold something in the tree.
        """
        ...

    def identifier(self, uuid: str) -> str:
        """Return the form of a UUID for ``UUID=`` and GRUB's ``search --fs-uuid``."""
        ...
