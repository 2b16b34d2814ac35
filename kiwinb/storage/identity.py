"""Derive UUIDs from the description, so that equal builds give equal bytes."""

from __future__ import annotations

import uuid

from kiwinb.description.model import ImageDescription

_NAMESPACE = uuid.UUID("5d0c3f1e-8f0e-4b0a-9c86-2f6f1f3a7b54")


def identifier(image: ImageDescription, role: str) -> str:
    """Return the UUID of a part of an image.

    Args:
        image: The effective description.
        role: Name of the part, such as ``filesystem/root``.
    """
    return str(uuid.uuid5(_NAMESPACE, "\n".join((image.name, image.arch, image.version, role))))
