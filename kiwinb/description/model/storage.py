"""The model of the disk: its size, partitions, volumes and installation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """``<size>``: the wanted size of the disk.

    Attributes:
        value: Size in ``unit``.
        unit: ``M`` (MiB) or ``G`` (GiB).
        additive: Add the size to the space that the root tree needs.
        unpartitioned: Space left unpartitioned at the end, in ``unit``.
    """

    value: int
    unit: str = "M"
    additive: bool = False
    unpartitioned: int = 0

    @property
    def mebibytes(self) -> int:
        """The wanted size in MiB."""
        return self.value * (1024 if self.unit == "G" else 1)


@dataclass(frozen=True)
class Volume:
    """``<volume>`` of ``<systemdisk>``."""

    name: str
    mountpoint: str | None = None
    parent: str | None = None
    label: str | None = None
    size: str | None = None
    freespace: str | None = None
    quota: str | None = None
    copy_on_write: bool | None = None
    filesystem_check: bool | None = None


@dataclass(frozen=True)
class SystemDisk:
    """``<systemdisk>``: the volume setup."""

    name: str | None = None
    preferlvm: bool = False
    volumes: tuple[Volume, ...] = ()


@dataclass(frozen=True)
class Partition:
    """``<partition>``: an extra partition of the disk.

    Attributes:
        size: As written, for example ``100``, ``100M`` or ``2G``; in MiB if it has no unit.
    """

    name: str
    size: str
    mountpoint: str | None = None
    filesystem: str | None = None
    label: str | None = None
    partition_name: str | None = None
    partition_type: str | None = None
    part_id: str | None = None
    clone: int | None = None


@dataclass(frozen=True)
class OemConfig:
    """``<oemconfig>``; each ``oem-…`` child is the field of that name."""

    boot_title: str | None = None
    bootwait: bool | None = None
    device_filter: str | None = None
    inplace_recovery: bool | None = None
    kiwi_initrd: bool | None = None
    multipath_scan: bool | None = None
    nic_filter: str | None = None
    partition_install: bool | None = None
    ramdisk_size: int | None = None
    reboot: bool | None = None
    reboot_interactive: bool | None = None
    recovery: bool | None = None
    recovery_part_size: int | None = None
    recoveryID: str | None = None  # noqa: N815 - KIWI NG's name
    resize: bool | None = None
    resize_once: bool | None = None
    shutdown: bool | None = None
    shutdown_interactive: bool | None = None
    silent_boot: bool | None = None
    silent_install: bool | None = None
    silent_verify: bool | None = None
    skip_verify: bool | None = None
    swap: bool | None = None
    swapname: str | None = None
    swapsize: int | None = None
    systemsize: int | None = None
    unattended: bool | None = None
    unattended_id: str | None = None
    vmcp_parmfile: str | None = None
