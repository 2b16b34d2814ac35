"""Turn a root tree into an image: one module for each image kind, all registered here."""

from __future__ import annotations

from kiwinb.errors import ImageError
from kiwinb.images.container.kind import ContainerKind
from kiwinb.images.cpio import CpioKind
from kiwinb.images.filesystem import FilesystemKind
from kiwinb.images.kind import ImageKind
from kiwinb.images.oem import OemKind
from kiwinb.images.tbz import TarballKind
from kiwinb.steps.registry import Registry
from kiwinb.storage.filesystem import FILESYSTEMS

IMAGE_KINDS: Registry[ImageKind] = Registry(
    "image kind",
    (
        CpioKind(),
        ContainerKind("docker"),
        ContainerKind("oci"),
        OemKind(),
        TarballKind(),
        *(FilesystemKind(name) for name in FILESYSTEMS.where(lambda item: item.makes_images)),
    ),
    error=ImageError,
)
"""Image kinds, by the value of the ``image`` attribute of a ``<type>``."""
