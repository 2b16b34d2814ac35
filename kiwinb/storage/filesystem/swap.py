"""Swap space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kiwinb.sandbox.command import run
from kiwinb.sizes import MIB
from kiwinb.storage.filesystem.content import Content, Need
from kiwinb.storage.filesystem.spec import Filesystem, Growth, Watch


@dataclass(frozen=True)
class Swap:
    """Swap space; it holds no files."""

    name: str = "swap"
    revision: int = 1
    tools: tuple[str, ...] = ("mkswap",)
    makes_images: bool = False
    grub_module: str | None = None
    growth: Growth | None = None
    subvolumes: bool = False
    least_volume: int = 30
    read_only: bool = False
    has_uuid: bool = True
    compression: str | None = None
    fstab_type: str = "swap"
    checked: bool = False

    def size(self, need: Need) -> int:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        return MIB

    def lacks(self, compression: str | None) -> str | None:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        return None

    def identifier(self, uuid: str) -> str:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        return uuid

    def make(self, image: Path, spec: Filesystem, content: Content, watch: Watch) -> None:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        label = ("--label", spec.label) if spec.label else ()
        run(["mkswap", "--uuid", spec.uuid, *label, *spec.options, str(image)])


SWAP = Swap()
