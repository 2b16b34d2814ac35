"""What every format of a virtual disk offers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from kiwinb.description.model import ImageDescription
from kiwinb.images.kind import ImagePlan
from kiwinb.sandbox.command import Log
from kiwinb.steps.registry import Used


class DiskFormat(Protocol):
    """One format, as the ``format`` attribute of a ``<type>`` names it."""

    @property
    def name(self) -> str:
        """What a description calls it."""
        ...

    @property
    def revision(self) -> int:
        """See :class:`~kiwinb.steps.registry.Plugin`."""
        ...

    @property
    def suffix(self) -> str:
        """Of the file that holds the disk."""
        ...

    @property
    def honours(self) -> frozenset[str]:
        """The attributes of ``<type>`` that change what it makes."""
        ...

    @property
    def tools(self) -> tuple[str, ...]:
        """Tools of the host that make it."""
        ...

    def plan(self, image: ImageDescription, used: Used, step: str, filename: str) -> ImagePlan:
        """Plan the steps that make it of a raw disk; pure.

        Args:
            image: The effective description.
            used: The format as its steps name it.
            step: Name of the step that leaves the raw disk.
            filename: Of the raw disk there.
        """
        ...

    def remake(self, raw: Path, target: Path, options: Sequence[str], log: Log | None) -> None:
        """Make it anew of a raw disk that was resized.

        Args:
            raw: The raw disk.
            target: The file to write.
            options: In place of those of the description.
            log: Takes each line of output.
        """
        ...
