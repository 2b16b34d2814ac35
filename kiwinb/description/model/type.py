"""The model of ``<type>``, the image type to build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kiwinb.description.model.boot import Bootloader, ConfigOption, Initrd
from kiwinb.description.model.container import ContainerConfig
from kiwinb.description.model.machine import Machine, VagrantConfig
from kiwinb.description.model.storage import OemConfig, Partition, Size, SystemDisk


@dataclass(frozen=True)
class BuildType:
    """The selected ``<type>``: which image to build, and how.

    ``attributes`` holds all attributes as written, including those without a field.
    """

    image: str
    filesystem: str | None = None
    primary: bool = False
    bootpartition: bool | None = None
    bootpartsize: int | None = None
    bootfilesystem: str | None = None
    compressed: bool | None = None
    derived_from: str | None = None
    devicepersistency: str | None = None
    disk_start_sector: int | None = None
    eficsm: bool | None = None
    efimountoptions: tuple[str, ...] = ()
    efipartsize: int | None = None
    efiparttable: str | None = None
    ensure_empty_tmpdirs: bool | None = None
    firmware: str | None = None
    force_mbr: bool | None = None
    format: str | None = None
    formatoptions: tuple[str, ...] = ()
    fscreateoptions: tuple[str, ...] = ()
    fsmountoptions: tuple[str, ...] = ()
    initrd_system: str | None = None
    kernelcmdline: str | None = None
    publisher: str | None = None
    application_id: str | None = None
    volid: str | None = None
    rootfs_label: str | None = None
    squashfscompression: str | None = None
    erofscompression: str | None = None
    target_blocksize: int | None = None
    bundle_format: str | None = None
    metadata_path: str | None = None
    editbootconfig: str | None = None
    editbootinstall: str | None = None
    spare_part: str | None = None
    spare_part_fs: str | None = None
    spare_part_fs_attributes: tuple[str, ...] = ()
    spare_part_is_last: bool | None = None
    spare_part_mountpoint: str | None = None
    provide_system_files: bool | None = None
    require_system_files: bool | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    bootloader: Bootloader | None = None
    oemconfig: OemConfig = field(default_factory=OemConfig)
    size: Size | None = None
    systemdisk: SystemDisk | None = None
    partitions: tuple[Partition, ...] = ()
    containerconfig: ContainerConfig | None = None
    initrd: tuple[Initrd, ...] = ()
    installmedia: tuple[Initrd, ...] = ()
    luksformat: tuple[ConfigOption, ...] = ()
    machine: Machine | None = None
    vagrantconfig: tuple[VagrantConfig, ...] = ()
