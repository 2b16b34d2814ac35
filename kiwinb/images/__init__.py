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
from kiwinb.storage.filesystem.spec import FilesystemMaker


def _kind_of(maker: FilesystemMaker) -> ImageKind | None:
    """The kind whose images are this file system and nothing else."""
    return FilesystemKind(maker.name) if maker.makes_images else None


IMAGE_KINDS: Registry[ImageKind] = Registry(
    "image kind",
    (
        CpioKind(),
        ContainerKind("docker"),
        ContainerKind("oci"),
        OemKind(),
        TarballKind(),
    ),
    derived=(FILESYSTEMS, _kind_of),
    error=ImageError,
)
"""Image kinds, by the value of the ``image`` attribute of a ``<type>``."""
