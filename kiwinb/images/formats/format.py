"""The protocol that every disk format implements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from kiwinb.description.model import ImageDescription
from kiwinb.images.kind import ImagePlan
from kiwinb.sandbox.command import Log
from kiwinb.steps.registry import Used


class DiskFormat(Protocol):
    """A disk format, selected by the ``format`` attribute of a ``<type>``."""

    @property
    def name(self) -> str:
        """The value of the ``format`` attribute."""
        ...

    @property
    def revision(self) -> int:
        """See :class:`~kiwinb.steps.registry.Plugin`."""
        ...

    @property
    def suffix(self) -> str:
        """Suffix of the file that holds the disk, without a dot."""
        ...

    @property
    def honours(self) -> frozenset[str]:
        """The attributes of ``<type>`` that affect the result."""
        ...

    @property
    def tools(self) -> tuple[str, ...]:
        """Programs of the host that make the format."""
        ...

    def plan(self, image: ImageDescription, used: Used, step: str, filename: str) -> ImagePlan:
        """Plan the steps that convert a raw disk into this format.

        This function is pure.

        Args:
            image: The effective description.
            used: This format as a plug-in in use, for the actions of the steps.
            step: Name of the step that writes the raw disk.
            filename: File name of the raw disk.
        """
        ...

    def remake(self, raw: Path, target: Path, options: Sequence[str], log: Log | None) -> None:
        """Convert a raw disk again after it was resized.

        Args:
            raw: The raw disk.
            target: The file to write.
            options: Options that replace those of the description.
            log: Called with each line of output.
        """
        ...
