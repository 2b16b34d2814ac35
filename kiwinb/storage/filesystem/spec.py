"""What is asked of a file system, and what each module that makes one offers."""

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
    """A file system that is to be made.

    Attributes:
        kind: What makes it, of ``FILESYSTEMS``.
        uuid: Its UUID; the volume ID is made of it for FAT.
        label: Its label, or ``None``.
        options: Options handed to its mkfs as they are.
        sector_size: Bytes of a logical sector of the disk it is for.
        compression: How it compresses, as its attribute of ``<type>`` says; ``None`` when that is
            not said.
    """

    kind: Used
    uuid: str
    label: str | None = None
    options: tuple[str, ...] = ()
    sector_size: int = 512
    compression: str | None = None


@dataclass(frozen=True)
class Growth:
    """How the running system makes something as large as the device that it is in.

    Attributes:
        tool: The program that does it.
        package: The package that brings the program.
        command: A line of shell; ``$device`` is the device. ``/`` is mounted.
    """

    tool: str
    package: str
    command: str


class FilesystemFull(ImageError):
    """The content does not fit into the file system."""


@dataclass(frozen=True)
class Watch:
    """Who is told how the making of a file system goes.

    Attributes:
        log: Takes one line.
        progress: Takes how much is done, 0.0 to 1.0.
    """

    log: Callable[[str], None]
    progress: Callable[[float], None]


class FilesystemMaker(Protocol):
    """One kind of file system; each is one module, registered in ``FILESYSTEMS``."""

    @property
    def name(self) -> str:
        """What a description calls it."""
        ...

    @property
    def revision(self) -> int:
        """See :class:`~kiwinb.steps.registry.Plugin`."""
        ...

    @property
    def tools(self) -> tuple[str, ...]:
        """Tools of the host that make it."""
        ...

    @property
    def makes_images(self) -> bool:
        """Whether an image may be this file system and nothing else."""
        ...

    @property
    def grub_module(self) -> str | None:
        """GRUB's module that reads it; ``None`` when GRUB cannot."""
        ...

    @property
    def growth(self) -> Growth | None:
        """How it grows while it is mounted; ``None`` when it does not."""
        ...

    @property
    def subvolumes(self) -> bool:
        """Whether it has volumes of its own, so that a volume setup needs no LVM."""
        ...

    @property
    def read_only(self) -> bool:
        """Whether the running system can only read it: it is made to measure."""
        ...

    @property
    def has_uuid(self) -> bool:
        """Whether it has a UUID that a running system finds it by."""
        ...

    @property
    def compression(self) -> str | None:
        """The attribute of ``<type>`` that says how it compresses; ``None`` when it does not."""
        ...

    @property
    def fstab_type(self) -> str:
        """What ``/etc/fstab`` calls it."""
        ...

    @property
    def checked(self) -> bool:
        """Whether ``fsck`` is to check it at boot."""
        ...

    def lacks(self, compression: str | None) -> str | None:
        """What the tools of this host cannot do of a compression, in one sentence; or ``None``.

        Args:
            compression: See :class:`Filesystem`.
        """
        ...

    def size(self, need: Need) -> int:
        """Bytes of a file system that this surely fits into; more when it turns out not to."""
        ...

    def make(self, image: Path, spec: Filesystem, content: Content, watch: Watch) -> None:
        """Make the file system and fill it.

        Args:
            image: The file, of its final size and nothing but a hole. One that is
                :attr:`read_only` is made to measure, and gives the file its size.
            spec: What is asked for.
            content: What goes into it.
            watch: Is told how it goes.

        Raises:
            FilesystemFull: It is too small.
            ImageError: Something in the tree cannot be kept in this kind of file system.
        """
        ...

    def identifier(self, uuid: str) -> str:
        """What ``UUID=`` and GRUB's ``search --fs-uuid`` call a file system of this UUID."""
        ...
