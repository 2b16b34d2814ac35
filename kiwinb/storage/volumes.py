"""The volumes that a ``<systemdisk>`` asks for, completed as KIWI NG completes them."""

from __future__ import annotations

from dataclasses import dataclass

from kiwinb.description.model import ImageDescription, Volume
from kiwinb.storage.filesystem import FILESYSTEMS

DEFAULT_GROUP = "systemVG"
"""Name of the volume group if the description does not name it."""

_ROOT_MARK = "@root"
_ROOT = "LVRoot"
_SWAP = "LVSwap"
_SWAP_SIZE = 128
"""Size in MiB."""

_LEAST = 30
"""Free space in MiB of a volume of an unknown file system whose size is not given."""


@dataclass(frozen=True)
class VolumeSetup:
    """A volume to make.

    Attributes:
        name: Its name.
        size: ``size:MIB``, ``freespace:MIB`` beyond its content, or ``size:all`` for what is left.
        mountpoint: Where the system mounts it; ``None`` for the root and for swap space.
        root: Whether it is the root volume.
    """

    name: str
    size: str
    mountpoint: str | None
    root: bool = False


def uses_lvm(image: ImageDescription) -> bool:
    """Whether the volumes are those of LVM, and not of the file system."""
    disk = image.type.systemdisk
    maker = FILESYSTEMS.get(image.type.filesystem or "")
    return disk is not None and (disk.preferlvm or maker is None or not maker.subvolumes)


def volumes(image: ImageDescription) -> tuple[VolumeSetup, ...]:
    """The volumes of a disk; none without a ``<systemdisk>``."""
    disk = image.type.systemdisk
    if disk is None:
        return ()
    maker = FILESYSTEMS.get(image.type.filesystem or "")
    least = f"freespace:{maker.least_volume if maker else _LEAST}"
    found = [_volume(volume, least) for volume in disk.volumes]
    lvm = uses_lvm(image)
    if not any(volume.root for volume in found):
        whole = any(volume.size == "size:all" for volume in found)
        size = least if whole else "size:all"
        found.append(VolumeSetup(_ROOT if lvm else "", size, None, root=True))
    oem = image.type.oemconfig
    if oem.swap and lvm:
        size = f"size:{oem.swapsize or _SWAP_SIZE}"
        found.append(VolumeSetup(oem.swapname or _SWAP, size, None))
    return tuple(found)


def _volume(volume: Volume, least: str) -> VolumeSetup:
    size = least
    if asked := volume.size or volume.freespace:
        whole = "all" in (volume.size, volume.freespace)
        unit = "size" if volume.size or whole else "freespace"
        size = f"{unit}:{asked if whole else _mebibytes(asked)}"
    if volume.name.startswith(_ROOT_MARK):
        return VolumeSetup(volume.name.partition("=")[2] or _ROOT, size, None, root=True)
    if volume.mountpoint:
        return VolumeSetup(volume.name, size, volume.mountpoint)
    name = volume.name.strip().lstrip("/").replace("/", "_")
    return VolumeSetup(name, size, volume.name)


def _mebibytes(text: str) -> int:
    return int(text.rstrip("MG")) * (1024 if text.endswith("G") else 1)
