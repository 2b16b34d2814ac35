"""The effective image description: what one build reads, as frozen data.

An :class:`ImageDescription` is what is left of a KIWI NG description after
includes and constants are resolved, older schema versions are upgraded, and
one set of profiles, one architecture and one ``<type>`` are selected. Field
names are KIWI NG's element and attribute names with ``-`` written as ``_``.
A field is ``None`` (or empty) when the description does not say it; defaults
belong to whoever reads the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Information:
    """``<description>``: who made the image, and what it is for."""

    kind: str = "system"
    author: tuple[str, ...] = ()
    contact: tuple[str, ...] = ()
    specification: str = ""
    license: tuple[str, ...] = ()


@dataclass(frozen=True)
class ConfigOption:
    """A name and an optional value: ``configoption``, ``option``, ``env`` and the like."""

    name: str
    value: str | None = None


@dataclass(frozen=True)
class BootloaderSettings:
    """``<bootloadersettings>``: options handed to the bootloader's own tools."""

    shimoption: tuple[ConfigOption, ...] = ()
    installoption: tuple[ConfigOption, ...] = ()
    configoption: tuple[ConfigOption, ...] = ()
    environment: tuple[ConfigOption, ...] = ()


@dataclass(frozen=True)
class Bootloader:
    """``<bootloader>`` of a type."""

    name: str = "grub2"
    bls: bool | None = None
    grub_template: str | None = None
    input_console: str | None = None
    output_console: str | None = None
    serial_line: str | None = None
    targettype: str | None = None
    timeout: int | None = None
    timeout_style: str | None = None
    use_disk_password: bool | None = None
    video_mode: str | None = None
    settings: BootloaderSettings = BootloaderSettings()


@dataclass(frozen=True)
class Size:
    """``<size>``: the wanted size of the disk.

    Attributes:
        value: Size in ``unit``.
        unit: ``M`` (MiB) or ``G`` (GiB).
        additive: The size is added to what the root tree needs.
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
        size: As written, for example ``100``, ``100M`` or ``2G``; MiB when no unit is given.
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


@dataclass(frozen=True)
class ContainerCommand:
    """``<entrypoint>`` or ``<subcommand>``: an argv; ``clear`` empties an inherited one."""

    argv: tuple[str, ...] = ()
    clear: bool = False


@dataclass(frozen=True)
class ContainerHistory:
    """``<history>`` of a container."""

    comment: str = ""
    author: str | None = None
    created_by: str | None = None
    application_id: str | None = None
    package_version: str | None = None
    launcher: str | None = None


@dataclass(frozen=True)
class ContainerConfig:
    """``<containerconfig>``: the metadata of a container image."""

    name: str | None = None
    tag: str | None = None
    additionalnames: tuple[str, ...] = ()
    maintainer: str | None = None
    user: str | None = None
    workingdir: str | None = None
    entrypoint: ContainerCommand | None = None
    subcommand: ContainerCommand | None = None
    labels: tuple[ConfigOption, ...] = ()
    expose: tuple[str, ...] = ()
    environment: tuple[ConfigOption, ...] = ()
    volumes: tuple[str, ...] = ()
    stopsignal: str | None = None
    history: ContainerHistory | None = None


@dataclass(frozen=True)
class Dracut:
    """``<dracut>`` in ``<initrd>``."""

    module: str | None = None
    driver: str | None = None
    uefi: bool | None = None


@dataclass(frozen=True)
class Initrd:
    """``<initrd>``: what is added to, omitted from or set up in the initrd."""

    action: str
    dracut: tuple[Dracut, ...] = ()


@dataclass(frozen=True)
class MachineEntry:
    """A child of ``<machine>`` (``vmdisk``, ``vmdvd``, ``vmnic``), attributes as written."""

    kind: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Machine:
    """``<machine>``: the virtual machine an image is for; attributes as written."""

    attributes: Mapping[str, str] = field(default_factory=dict)
    config_entries: tuple[str, ...] = ()
    devices: tuple[MachineEntry, ...] = ()


@dataclass(frozen=True)
class VagrantConfig:
    """``<vagrantconfig>``."""

    provider: str
    boxname: str | None = None
    embedded_vagrantfile: str | None = None
    virtualbox_guest_additions_present: bool | None = None
    virtualsize: int | None = None


@dataclass(frozen=True)
class BuildType:
    """The selected ``<type>``: what image is made, and how.

    ``attributes`` holds every attribute as written, those without a field included.
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
    oemconfig: OemConfig = OemConfig()
    size: Size | None = None
    systemdisk: SystemDisk | None = None
    partitions: tuple[Partition, ...] = ()
    containerconfig: ContainerConfig | None = None
    initrd: tuple[Initrd, ...] = ()
    installmedia: tuple[Initrd, ...] = ()
    luksformat: tuple[ConfigOption, ...] = ()
    machine: Machine | None = None
    vagrantconfig: tuple[VagrantConfig, ...] = ()


@dataclass(frozen=True)
class Preferences:
    """All selected ``<preferences>`` sections, merged in document order (the later one wins)."""

    version: str | None = None
    packagemanager: str | None = None
    locale: tuple[str, ...] = ()
    keytable: str | None = None
    timezone: str | None = None
    release_version: str | None = None
    rpm_check_signatures: bool | None = None
    rpm_excludedocs: bool | None = None
    rpm_locale_filtering: bool | None = None
    bootsplash_theme: str | None = None
    bootloader_theme: str | None = None
    showlicense: tuple[str, ...] = ()


@dataclass(frozen=True)
class User:
    """``<user>``."""

    name: str
    password: str | None = None
    pwdformat: str = "encrypted"
    groups: tuple[str, ...] = ()
    home: str | None = None
    id: int | None = None
    realname: str | None = None
    shell: str | None = None


@dataclass(frozen=True)
class Profile:
    """``<profile>``: a namespace of sections that a build selects or not."""

    name: str
    description: str = ""
    imported: bool = False
    arch: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()


@dataclass(frozen=True)
class Repository:
    """``<repository>``: where packages come from.

    Attributes:
        path: The ``<source path=…>`` as written: ``mirror:debian``, ``dir:///…``, ``https://…`` …
        distribution: Suite, for apt: ``bookworm``. A path ending in ``/`` is a flat repository.
        components: Components, for apt: ``("main", "contrib")``; ``main`` when not said.
        priority: Smaller comes first, as in KIWI NG.
        signing: Keys that sign the repository, from ``<signing key=…>``.
        used_for_build: ``False`` for ``imageonly``.
        included_in_image: ``True`` for ``imageonly`` and ``imageinclude``.
    """

    path: str
    alias: str | None = None
    type: str | None = None
    distribution: str | None = None
    components: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    priority: int | None = None
    username: str | None = None
    password: str | None = None
    repository_gpgcheck: bool | None = None
    package_gpgcheck: bool | None = None
    sourcetype: str | None = None
    customize: str | None = None
    signing: tuple[str, ...] = ()
    used_for_build: bool = True
    included_in_image: bool = False


@dataclass(frozen=True)
class Archive:
    """``<archive>``: a tarball of the description that is unpacked into the root tree."""

    name: str
    target_dir: str | None = None
    bootinclude: bool = False


@dataclass(frozen=True)
class OverlayFile:
    """``<file>`` in ``<packages>``: one file of the description and its place in the tree."""

    name: str
    target: str | None = None
    owner: str | None = None
    permissions: str | None = None


@dataclass(frozen=True)
class CollectionModule:
    """``<collectionModule>``: a module stream of dnf."""

    name: str
    stream: str | None = None
    enable: bool = True


@dataclass(frozen=True)
class PackageSet:
    """All selected ``<packages>`` sections of one phase, merged in document order, once each."""

    packages: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    collection_modules: tuple[CollectionModule, ...] = ()
    products: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    archives: tuple[Archive, ...] = ()
    files: tuple[OverlayFile, ...] = ()
    plus_recommended: bool = False

    def __bool__(self) -> bool:
        return any(
            (
                self.packages,
                self.collections,
                self.collection_modules,
                self.products,
                self.archives,
                self.files,
            )
        )


@dataclass(frozen=True)
class Packages:
    """The packages of a build by phase, the section for the selected type merged into ``image``."""

    bootstrap: PackageSet = PackageSet()
    image: PackageSet = PackageSet()
    delete: tuple[str, ...] = ()
    uninstall: tuple[str, ...] = ()
    systemfiles: tuple[str, ...] = ()
    bootstrap_package: str | None = None


@dataclass(frozen=True)
class Strip:
    """All selected ``<strip>`` sections: names for the strip functions of the scripts."""

    delete: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    libs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Container:
    """``<container>`` in ``<containers>``: a container to be loaded into the image."""

    name: str
    source: str
    backend: str
    tag: str | None = None
    path: str | None = None
    fetch_only: bool = False


@dataclass(frozen=True)
class Certificates:
    """``<certificates>``: CA certificate files for the image's own trust store."""

    target_distribution: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageDescription:
    """One image, as one build sees it.

    Attributes:
        directory: The description directory.
        file: The description file in it.
        profiles: The selected profiles, those required by others included, in document order.
        arch: The target architecture as ``uname -m`` prints it.
    """

    name: str
    directory: Path
    file: Path
    arch: str
    type: BuildType
    preferences: Preferences
    displayname: str | None = None
    id: str | None = None
    schemaversion: str = "8.5"
    profiles: tuple[str, ...] = ()
    all_profiles: tuple[Profile, ...] = ()
    information: Information = Information()
    users: tuple[User, ...] = ()
    repositories: tuple[Repository, ...] = ()
    packages: Packages = Packages()
    drivers: tuple[str, ...] = ()
    strip: Strip = Strip()
    containers: tuple[Container, ...] = ()
    certificates: tuple[Certificates, ...] = ()

    @property
    def version(self) -> str:
        """The image version, ``1.0.0`` when the description does not say it."""
        return self.preferences.version or "1.0.0"

    @property
    def result_name(self) -> str:
        """How KIWI NG starts the name of each result file: ``NAME.ARCH-VERSION``."""
        return f"{self.name}.{self.arch}-{self.version}"
