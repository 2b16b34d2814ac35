"""Create: the actions that turn a root tree into an image; one module per image kind."""

from __future__ import annotations

from collections.abc import Mapping

from kiwinb.images.archive import CpioKind, TarballKind
from kiwinb.images.container.kind import ContainerKind
from kiwinb.images.filesystem import FilesystemKind
from kiwinb.images.kind import ImageKind
from kiwinb.images.oem import OemKind

IMAGE_KINDS: Mapping[str, ImageKind] = {
    "cpio": CpioKind(),
    "docker": ContainerKind("docker"),
    "oci": ContainerKind("oci"),
    "oem": OemKind(),
    "tbz": TarballKind(),
    **{name: FilesystemKind(name) for name in ("btrfs", "ext2", "ext3", "ext4", "xfs")},
}
"""Image kinds by what the ``image`` attribute of a ``<type>`` calls them."""
