"""``name="custom"``: the scripts of the description set up a bootloader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kiwinb.bootloader.host import HostDirectory
from kiwinb.bootloader.target import BootFacts, BootTarget
from kiwinb.description.model import ImageDescription
from kiwinb.steps.step import StepContext
from kiwinb.storage.layout import DEFAULT_EFI_SIZE
from kiwinb.storage.patches import Patch


@dataclass(frozen=True)
class Custom:
    """See :class:`~kiwinb.bootloader.target.BootloaderMaker`."""

    name: str = "custom"
    revision: int = 1
    honours: frozenset[str] = frozenset()
    boots_bios: bool = True
    embeds_code: bool = False
    keeps_environment: bool = False
    needs_filesystems: bool = False

    def esp_size(self, image: ImageDescription) -> int:
        """See :class:`~kiwinb.bootloader.target.BootloaderMaker`."""
        return DEFAULT_EFI_SIZE

    def host_directories(self, image: ImageDescription) -> Mapping[str, HostDirectory]:
        """Return nothing: kiwinb needs no files for it."""
        return {}

    def configure(self, context: StepContext, target: BootTarget) -> None:
        """Do nothing."""

    def finalise(
        self, context: StepContext, target: BootTarget, facts: BootFacts, esp: Path
    ) -> tuple[Patch, ...]:
        """Do nothing: the EFI system partition has only the files that are in the tree."""
        return ()
