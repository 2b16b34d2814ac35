"""Disk formats other than raw, all registered here."""

from __future__ import annotations

from kiwinb.description.model import ImageDescription
from kiwinb.errors import ImageError
from kiwinb.images.formats.format import DiskFormat
from kiwinb.images.formats.qemu import QEMU_FORMATS
from kiwinb.images.kind import ImagePlan
from kiwinb.steps.registry import Registry

FORMATS: Registry[DiskFormat] = Registry("disk format", QEMU_FORMATS, error=ImageError)
"""Disk formats, by the value of the ``format`` attribute of a ``<type>``."""

RAW = "raw"
"""Value of the ``format`` attribute that asks for the raw disk only."""


def plan_format(image: ImageDescription, step: str, filename: str) -> ImagePlan:
    """Plan the disk format that a description asks for; the plan is empty for a raw disk.

    Args:
        image: The effective description.
        step: Name of the step that writes the raw disk.
        filename: File name of the raw disk.

    Raises:
        ImageError: The format is unknown.
    """
    wanted = image.type.format
    if wanted in (None, RAW):
        return ImagePlan((), ())
    if wanted not in FORMATS:
        raise ImageError(
            f"kiwinb does not support the disk format {wanted}",
            remedy=f"take one of {', '.join(FORMATS)}",
        )
    return FORMATS[wanted].plan(image, FORMATS.use(wanted), step, filename)
