"""Disk formats besides raw; registered here."""

from __future__ import annotations

from kiwinb.description.model import ImageDescription
from kiwinb.errors import ImageError
from kiwinb.images.formats.format import DiskFormat
from kiwinb.images.formats.qemu import QEMU_FORMATS
from kiwinb.images.kind import ImagePlan
from kiwinb.steps.registry import Registry

FORMATS: Registry[DiskFormat] = Registry("disk format", QEMU_FORMATS, error=ImageError)
"""By the name that a description gives it."""

RAW = "raw"
"""What a description may call a disk that no format is made of."""


def plan_format(image: ImageDescription, step: str, filename: str) -> ImagePlan:
    """Plan the format that a description asks for; nothing for a disk that stays raw.

    Args:
        image: The effective description.
        step: Name of the step that leaves the raw disk.
        filename: Of the raw disk.

    Raises:
        ImageError: The format is unknown.
    """
    wanted = image.type.format
    if wanted in (None, RAW):
        return ImagePlan((), ())
    if wanted not in FORMATS:
        raise ImageError(
            f"the disk format {wanted} is not something kiwinb makes",
            remedy=f"take one of {', '.join(FORMATS)}",
        )
    return FORMATS[wanted].plan(image, FORMATS.use(wanted), step, filename)
