"""Create: the actions that turn a root tree into an image; one module per image kind."""

from __future__ import annotations

from collections.abc import Mapping

from kiwinb.create.archive import CpioKind, TarballKind
from kiwinb.create.container import ContainerKind
from kiwinb.create.disk.oem import OemKind
from kiwinb.create.filesystem_image import FilesystemKind
from kiwinb.create.kind import ImageKind

IMAGE_KINDS: Mapping[str, ImageKind] = {
    "cpio": CpioKind(),
    "docker": ContainerKind("docker"),
    "oci": ContainerKind("oci"),
    "oem": OemKind(),
    "tbz": TarballKind(),
    **{name: FilesystemKind(name) for name in ("btrfs", "ext2", "ext3", "ext4", "xfs")},
}
"""Image kinds by what the ``image`` attribute of a ``<type>`` calls them."""
