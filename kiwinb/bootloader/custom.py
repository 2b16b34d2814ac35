"""No bootloader of ours: the description's own scripts set one up."""

from __future__ import annotations

from dataclasses import dataclass

from kiwinb.bootloader.setup import BootSetup
from kiwinb.steps.step import StepContext


@dataclass(frozen=True)
class Custom:
    """See :class:`~kiwinb.bootloader.setup.BootloaderMaker`."""

    name: str = "custom"
    revision: int = 1

    def boot_code(self, setup: BootSetup) -> str | None:
        """There is none."""
        return None

    def configure(self, context: StepContext, setup: BootSetup) -> None:
        """Nothing."""

    def install(self, context: StepContext, setup: BootSetup) -> None:
        """Nothing."""
