"""Lay out the disk of an ``oem`` image: its partitions, their order and their sizes.

The functions of this module are pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from kiwinb.description.model import BuildType, ImageDescription, Partition
from kiwinb.errors import ImageError
from kiwinb.sizes import MIB
from kiwinb.storage.disk import PRIMARY, DiskLayout, DiskPartition, DiskSize, Role, Table
from kiwinb.storage.filesystem import DEFAULT_ROOT, FILESYSTEMS
from kiwinb.storage.filesystem.spec import Filesystem, FilesystemMaker
from kiwinb.storage.filesystem.swap import SWAP
from kiwinb.storage.filesystem.vfat import FAT16, FAT32
from kiwinb.storage.firmware import uses_bios, uses_efi
from kiwinb.storage.identity import identifier
from kiwinb.storage.node import FilesystemNode

BIOS_SIZE = 2 * MIB
DEFAULT_EFI_SIZE = 20
DEFAULT_BOOT_SIZE = 300
DEFAULT_SWAP_SIZE = 1024
"""In MiB. By default, KIWI NG makes the swap space twice as large as the memory of the machine that
first boots the image."""

EFI_DIRECTORY = "/boot/efi"
"""Mount point of the EFI system partition in the running system."""

LOADER_STEP = "bootloader"
"""Name of the step that writes the files of the EFI system partition."""

LOADER_FILES = "esp"
"""Directory in that step's output that holds these files."""

_WRITTEN = ("root", "boot")
"""Partitions whose file system the running system writes to."""

_TYPES = {
    "bios": ("21686148-6449-6E6F-744E-656564454649", "83"),
    "efi": ("C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "ef"),
    "swap": ("0657FD6D-A4AB-43C4-84E5-0933C84B4F4F", "82"),
    "linux": ("0FC63DAF-8483-4772-8E79-3D69D8477DE4", "83"),
    "raid": ("A19D880F-05FC-4D3B-A006-743F0F84911E", "fd"),
}
"""Partition types: GUID in a GPT, byte in an MBR."""


def lay_out(
    image: ImageDescription, *, esp_size: int = DEFAULT_EFI_SIZE, bios: bool = True
) -> DiskLayout:
    """Lay out the disk that a description asks for.

    Args:
        image: The effective description.
        esp_size: Size in MiB of the EFI system partition if the description does not give one.
        bios: Whether BIOS firmware can start the bootloader.

    Raises:
        ImageError: The disk cannot be made, or kiwinb does not support it.
    """
    kind = image.type
    table = partition_table(image)
    sector = kind.target_blocksize or 512
    if sector not in (512, 4096):
        raise ImageError(f"target_blocksize is {sector}; a disk has sectors of 512 or 4096 bytes")
    planner = _Planner(image, table, sector, esp_size, bios)
    partitions = _numbered(tuple(planner.partitions()), kind, table)
    extended = _is_true(kind, "dosparttable_extended_layout") and table == "msdos"
    if table == "msdos" and len(partitions) > 4 and not extended:
        raise ImageError(
            f"an MBR has 4 primary partitions, and this disk has {len(partitions)}",
            remedy='set efiparttable="gpt" or dosparttable_extended_layout="true"',
        )
    return DiskLayout(
        table=table,
        uuid=identifier(image, "disk"),
        start=(kind.disk_start_sector or 2048) if sector == 512 else MIB // sector,
        sector_size=sector,
        partitions=partitions,
        size=disk_size(kind),
        extended=extended and len(partitions) > 4,
    )


def filesystems_of(image: ImageDescription) -> tuple[str, ...]:
    """Return the names of all file systems of a disk, including those kiwinb does not support."""
    kind = image.type
    root = kind.filesystem or DEFAULT_ROOT.name
    names = [root, *(item.filesystem for item in kind.partitions)]
    if kind.bootpartition:
        names.append(kind.bootfilesystem or root)
    if kind.spare_part:
        names.append(kind.spare_part_fs)
    if uses_efi(image):
        names.append(FAT16.name)
    if kind.oemconfig.swap:
        names.append(SWAP.name)
    return tuple(dict.fromkeys(name for name in names if name))


def partition_table(image: ImageDescription) -> Table:
    """Return the type of the disk's partition table."""
    kind = image.type
    if kind.force_mbr:
        return "msdos"
    if kind.efiparttable in ("gpt", "msdos"):
        return "gpt" if kind.efiparttable == "gpt" else "msdos"
    return "gpt" if uses_efi(image) else "msdos"


@dataclass(frozen=True)
class _Planner:
    """Planner of the partitions of a disk, which are still without numbers."""

    image: ImageDescription
    table: Table
    sector: int
    esp_size: int
    bios: bool

    def partitions(self) -> Iterator[DiskPartition]:
        """Yield all partitions in their order on the disk."""
        kind = self.image.type
        bios = self.bios and uses_bios(self.image)
        if bios and self.table == "gpt" and self.sector == 512:
            yield self._partition("bios", "bios", "p.legacy", "bios", BIOS_SIZE)
        if uses_efi(self.image):
            yield self._efi()
        yield from self._boot()
        if kind.oemconfig.swap:
            yield self._swap()
        for extra in kind.partitions:
            yield from self._with_clones(self._extra(extra), extra.clone or 0)
        spare_last = kind.spare_part_is_last and kind.oemconfig.resize is False
        spare = [self._spare()] if kind.spare_part else []
        if not spare_last:
            yield from spare
        yield from self._root()
        if spare_last:
            yield from spare

    def _partition(
        self, key: str, role: Role, name: str, type: str, size: int | None
    ) -> DiskPartition:
        return DiskPartition(
            key=key,
            role=role,
            number=0,
            name=name,
            type=_TYPES[type][self.table == "msdos"],
            uuid=identifier(self.image, f"partition/{key}"),
            size=size,
        )

    def _filesystem(
        self, name: str, key: str, label: str | None, options: tuple[str, ...] = ()
    ) -> Filesystem:
        if name not in FILESYSTEMS:
            raise ImageError(
                f"kiwinb does not support the file system {name} of the partition {key}",
                remedy=f"take one of {', '.join(FILESYSTEMS)}",
            )
        uuid = identifier(self.image, f"filesystem/{key}")
        maker = FILESYSTEMS[name]
        if maker.read_only and key in _WRITTEN:
            raise ImageError(
                f"the partition {key} needs a writable file system, but {name} is read-only",
                remedy=f"take one of {', '.join(FILESYSTEMS.where(_is_for_systems))}",
            )
        label = None if maker.read_only else label
        return Filesystem(
            FILESYSTEMS.use(name),
            uuid,
            label,
            options,
            self.sector,
            self.image.type.attributes.get(maker.compression) if maker.compression else None,
        )

    def _efi(self) -> DiskPartition:
        size = (self.image.type.efipartsize or self.esp_size) * MIB
        large = size >= 260 * MIB * (self.sector // 512) or self.sector > 512
        fat = FAT32 if large else FAT16
        files = FilesystemNode(
            "efi",
            self._filesystem(fat.name, "efi", "EFI"),
            "Fill the EFI system partition",
            mountpoint=EFI_DIRECTORY,
            directory=f"/{LOADER_FILES}",
            source=LOADER_STEP,
            options=self.image.type.efimountoptions or ("umask=0077",),
        )
        return replace(self._partition("efi", "efi", "p.UEFI", "efi", size), content=files)

    def _boot(self) -> Iterator[DiskPartition]:
        kind = self.image.type
        if not kind.bootpartition:
            return
        name = kind.bootfilesystem or kind.filesystem or DEFAULT_ROOT.name
        files = FilesystemNode(
            "boot",
            self._filesystem(name, "boot", "BOOT"),
            "Fill the boot partition",
            mountpoint="/boot",
            directory="/boot",
        )
        size = (kind.bootpartsize or DEFAULT_BOOT_SIZE) * MIB
        boot = self._partition("boot", "boot", "p.lxboot", "linux", size)
        count = int(kind.attributes.get("boot_clone", "0"))
        yield from self._with_clones(replace(boot, content=files), count)

    def _swap(self) -> DiskPartition:
        oem = self.image.type.oemconfig
        space = FilesystemNode(
            "swap",
            self._filesystem(SWAP.name, "swap", "SWAP"),
            "Make the swap space",
            step_name="swap",
        )
        size = (oem.swapsize or DEFAULT_SWAP_SIZE) * MIB
        return replace(self._partition("swap", "swap", "p.swap", "swap", size), content=space)

    def _extra(self, extra: Partition) -> DiskPartition:
        if extra.filesystem is None and extra.mountpoint is not None:
            raise ImageError(
                f"the partition {extra.name} has a mountpoint but no filesystem",
                remedy="set its filesystem",
            )
        type = "raid" if extra.partition_type == "t.raid" else "linux"
        name = extra.partition_name or f"p.lx{extra.name}"
        made = self._partition(extra.name, "data", name, type, _mebibytes(extra.size, extra.name))
        files = extra.filesystem and FilesystemNode(
            extra.name,
            self._filesystem(extra.filesystem, extra.name, extra.label or extra.name),
            f"Fill the partition {extra.name}",
            mountpoint=extra.mountpoint,
            directory=extra.mountpoint,
        )
        return replace(made, number=int(extra.part_id or 0), content=files or None)

    def _spare(self) -> DiskPartition:
        kind = self.image.type
        files = kind.spare_part_fs and FilesystemNode(
            "spare",
            self._filesystem(kind.spare_part_fs, "spare", "SPARE"),
            "Fill the spare partition",
            mountpoint=kind.spare_part_mountpoint,
            directory=kind.spare_part_mountpoint,
            step_name="spare",
        )
        size = _mebibytes(kind.spare_part or "0", "spare")
        spare = self._partition("spare", "spare", "p.spare", "linux", size)
        return replace(spare, content=files or None)

    def _root(self) -> Iterator[DiskPartition]:
        kind = self.image.type
        label, name = kind.rootfs_label or "ROOT", kind.filesystem or DEFAULT_ROOT.name
        files = FilesystemNode(
            "root",
            self._filesystem(name, "root", label, kind.fscreateoptions),
            "Fill the root partition",
            mountpoint="/",
            directory="/",
            options=kind.fsmountoptions,
        )
        root = self._partition("root", "root", "p.lxroot", "linux", _root_size(kind))
        count = int(kind.attributes.get("root_clone", "0"))
        yield from self._with_clones(replace(root, content=files), count)

    def _with_clones(self, original: DiskPartition, count: int) -> Iterator[DiskPartition]:
        if count and original.size is None:
            raise ImageError(
                "a clone of the root partition needs a root partition of a given size",
                remedy="set <oem-systemsize>, and <oem-resize> to false",
            )
        for number in range(1, count + 1):
            key = f"{original.key}clone{number}"
            files = original.content
            if isinstance(files, FilesystemNode):
                uuid = identifier(self.image, f"filesystem/{key}")
                files = replace(
                    files,
                    key=key,
                    spec=replace(files.spec, uuid=uuid),
                    title=f"Fill the partition {key}",
                    mountpoint=None,
                )
            yield replace(
                original,
                key=key,
                name=f"p.lx{key}",
                uuid=identifier(self.image, f"partition/{key}"),
                content=files,
                clone=True,
            )
        yield original


def _is_for_systems(maker: FilesystemMaker) -> bool:
    return maker.makes_images and not maker.read_only


def _mebibytes(text: str, name: str) -> int:
    match = re.fullmatch(r"(\d+)([MG]?)", text.strip())
    if match is None:
        raise ImageError(
            f"the size {text!r} of the partition {name} is not understood",
            remedy="write a number of MiB, or one that ends in M or G",
        )
    return int(match[1]) * MIB * (1024 if match[2] == "G" else 1)


def _root_size(kind: BuildType) -> int | None:
    """Return the size of the root partition in bytes; ``None`` if it depends on the content.

    ``oem-systemsize`` gives the size only if ``oem-resize`` is false. Otherwise, it limits the size
    to which the partition grows at the first boot.
    """
    oem = kind.oemconfig
    return oem.systemsize * MIB if oem.systemsize and oem.resize is False else None


def disk_size(kind: BuildType) -> DiskSize:
    """Return the size that ``<size>`` asks for."""
    if kind.size is None:
        return DiskSize()
    unit = MIB * (1024 if kind.size.unit == "G" else 1)
    unpartitioned = kind.size.unpartitioned * unit
    wanted = kind.size.mebibytes * MIB
    if kind.size.additive:
        return DiskSize(extra=max(0, wanted - unpartitioned), unpartitioned=unpartitioned)
    return DiskSize(total=wanted, unpartitioned=unpartitioned)


def _is_true(kind: BuildType, attribute: str) -> bool:
    return kind.attributes.get(attribute) == "true"


def _numbered(
    partitions: tuple[DiskPartition, ...], kind: BuildType, table: Table
) -> tuple[DiskPartition, ...]:
    """Give partitions their numbers from the description, and the others free ones in order."""
    extended = _is_true(kind, "dosparttable_extended_layout") and table == "msdos"
    asked = {
        "bios": "eficsmpart_id",
        "efi": "efipart_id",
        "boot": "bootpart_id",
        "root": "rootpart_id",
    }

    def given(partition: DiskPartition) -> int:
        if partition.clone:
            return 0
        return partition.number or int(kind.attributes.get(asked.get(partition.role, ""), "0"))

    taken = [number for number in map(given, partitions) if number]
    if twice := sorted({number for number in taken if taken.count(number) > 1}):
        raise ImageError(f"the partition number {twice[0]} is given twice")
    if extended and len(partitions) > 4:
        if taken:
            raise ImageError("an extended partition layout numbers its partitions itself")
        return tuple(
            replace(p, number=index + 1 if index < PRIMARY else index + 2)
            for index, p in enumerate(partitions)
        )
    free = (number for number in range(1, 129) if number not in taken)
    return tuple(replace(p, number=given(p) or next(free)) for p in partitions)
