"""Lay out the disk of an ``oem`` image: which partitions, where, how large; pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from kiwinb.description.model import BuildType, ImageDescription, Partition
from kiwinb.errors import ImageError
from kiwinb.storage.filesystem import FILESYSTEMS
from kiwinb.storage.filesystem.spec import MIB, Filesystem
from kiwinb.storage.identity import identifier

Table = Literal["gpt", "msdos"]
Role = Literal["bios", "efi", "boot", "swap", "data", "spare", "root"]

BIOS_SIZE = 2 * MIB
DEFAULT_EFI_SIZE = 20
DEFAULT_BOOT_SIZE = 300
DEFAULT_SWAP_SIZE = 1024
"""In MiB; KIWI NG takes twice the memory of the machine that boots first, if not told."""

X86 = ("x86_64", "i586", "i686", "ix86")

_RESERVED = ("root", "readonly", "boot", "prep", "spare", "swap", "efi_csm", "efi")
_TYPES = {
    "bios": ("21686148-6449-6E6F-744E-656564454649", "83"),
    "efi": ("C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "ef"),
    "swap": ("0657FD6D-A4AB-43C4-84E5-0933C84B4F4F", "82"),
    "linux": ("0FC63DAF-8483-4772-8E79-3D69D8477DE4", "83"),
    "raid": ("A19D880F-05FC-4D3B-A006-743F0F84911E", "fd"),
}
"""Partition types: GUID in a GPT, byte in an MBR."""


@dataclass(frozen=True)
class DiskPartition:
    """One partition.

    Attributes:
        key: Unique on the disk: ``root``, ``homeclone1``; names the step that makes its content.
        role: What it is for.
        number: In the partition table.
        name: In the partition table (GPT).
        type: Partition type, a GUID or, in an MBR, two hexadecimal digits.
        uuid: Of the partition (GPT).
        size: In bytes; ``None`` when its content decides.
        filesystem: What is in it.
        mountpoint: Where the running system has it, an absolute path.
        content: Directory of the tree whose content is in it, an absolute path.
        clone: It is a copy that the system does not use.
        options: Mount options.
    """

    key: str
    role: Role
    number: int
    name: str
    type: str
    uuid: str
    size: int | None
    filesystem: Filesystem | None = None
    mountpoint: str | None = None
    content: str | None = None
    clone: bool = False
    options: tuple[str, ...] = ()

    @property
    def step(self) -> str:
        """Name of the step that makes its content."""
        if self.role in ("swap", "spare"):
            return self.key
        return f"filesystem-{self.key}"


@dataclass(frozen=True)
class DiskSize:
    """How large the disk becomes, beyond what the partitions need.

    Attributes:
        total: Size of the disk in bytes; ``None`` when the content decides.
        extra: Bytes that the root partition gets beyond its need.
        unpartitioned: Bytes at the end that no partition has.
    """

    total: int | None = None
    extra: int = 0
    unpartitioned: int = 0


@dataclass(frozen=True)
class DiskLayout:
    """The disk of an image.

    Attributes:
        uuid: Of the disk; an MBR has its first 32 bits as disk signature.
        start: First sector of the first partition.
        sector_size: In bytes.
        partitions: In the order of their place.
        extended: The fourth MBR partition is an extended one and holds all after the third.
    """

    table: Table
    uuid: str
    start: int
    sector_size: int
    partitions: tuple[DiskPartition, ...]
    size: DiskSize = field(default=DiskSize())
    extended: bool = False

    @property
    def signature(self) -> str:
        """The disk signature of an MBR: 8 hexadecimal digits."""
        return self.uuid[:8]

    def one(self, role: Role) -> DiskPartition | None:
        """The partition of a role, which the system uses; ``None`` if there is none."""
        return next((p for p in self.partitions if p.role == role and not p.clone), None)

    @property
    def root(self) -> DiskPartition:
        """The root partition."""
        found = self.one("root")
        assert found is not None
        return found

    @property
    def boot(self) -> DiskPartition:
        """The partition that has ``/boot``."""
        return self.one("boot") or self.root

    def partuuid(self, partition: DiskPartition) -> str:
        """What ``PARTUUID=`` calls a partition."""
        if self.table == "gpt":
            return partition.uuid
        return f"{self.signature}-{partition.number:02x}"

    @property
    def end_reserve(self) -> int:
        """Bytes at the end of the disk that are not for partitions."""
        return (MIB if self.table == "gpt" else 0) + self.size.unpartitioned

    def offsets(self, sizes: dict[str, int]) -> tuple[dict[str, int], int]:
        """Where each partition starts, and where the last one ends, in bytes.

        Args:
            sizes: Of each partition by key, in bytes.
        """
        at = self.start * self.sector_size
        starts = {}
        for index, partition in enumerate(self.partitions):
            if self.extended and index >= _PRIMARY:
                at += MIB  # for its extended boot record
            at = -(-at // MIB) * MIB if index else at
            starts[partition.key] = at
            at += sizes[partition.key]
        return starts, at

    def root_size(self) -> int | None:
        """Bytes of the root partition when the disk's size is given; ``None`` otherwise."""
        if self.root.size is not None or self.size.total is None:
            return self.root.size
        sizes = {p.key: p.size or 0 for p in self.partitions}
        _, end = self.offsets(sizes)
        return (self.size.total - self.end_reserve - end) // MIB * MIB


_PRIMARY = 3
"""Primary partitions of an MBR that has an extended one, which is the fourth."""


def lay_out(image: ImageDescription) -> DiskLayout:
    """Lay out the disk that a description asks for.

    Raises:
        ImageError: It asks for what cannot be, or for what kiwinb does not do.
    """
    kind = image.type
    _refuse(kind)
    table = partition_table(image)
    sector = kind.target_blocksize or 512
    if sector not in (512, 4096):
        raise ImageError(f"target_blocksize is {sector}; a disk has sectors of 512 or 4096 bytes")
    partitions = _numbered(tuple(_partitions(image, table, sector)), kind, table)
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
    """The names of the file systems that a disk has, whether kiwinb makes them or not."""
    kind = image.type
    root = kind.filesystem or "ext4"
    names = [root, *(item.filesystem for item in kind.partitions)]
    if kind.bootpartition:
        names.append(kind.bootfilesystem or root)
    if kind.spare_part:
        names.append(kind.spare_part_fs)
    if uses_efi(image):
        names.append("fat16")
    if kind.oemconfig.swap:
        names.append("swap")
    return tuple(dict.fromkeys(name for name in names if name))


def uses_efi(image: ImageDescription) -> bool:
    """Whether the firmware is EFI."""
    default = "bios" if image.arch in X86 else "efi"
    return (image.type.firmware or default) in ("efi", "uefi")


def uses_bios(image: ImageDescription) -> bool:
    """Whether a PC's BIOS can boot it: alone, or beside EFI unless ``eficsm`` is false."""
    if image.arch not in X86:
        return False
    return not uses_efi(image) or image.type.eficsm is not False


def _refuse(kind: BuildType) -> None:
    unsupported = (
        ("luks", "encrypted partitions"),
        ("mdraid", "software RAID"),
        ("overlayroot", "an overlay root"),
        ("btrfs_root_is_snapper_snapshot", "a root in a snapper snapshot"),
        ("embed_verity_metadata", "verity metadata"),
        ("embed_integrity_metadata", "integrity metadata"),
        ("standalone_integrity", "integrity metadata"),
        ("installiso", "an installation ISO"),
        ("installpxe", "an installation archive for PXE"),
        ("installstick", "an installation stick"),
    )
    for attribute, what in unsupported:
        if kind.attributes.get(attribute, "false") != "false":
            raise ImageError(
                f"{what} ({attribute}) is not something kiwinb makes",
                remedy="remove the attribute, or build this image with KIWI NG",
            )
    if kind.systemdisk is not None:
        raise ImageError(
            "a volume setup (<systemdisk>) is not something kiwinb makes",
            remedy="use <partitions> instead, or build this image with KIWI NG",
        )
    if kind.firmware not in (None, "bios", "efi", "uefi"):
        raise ImageError(f'firmware="{kind.firmware}" is not something kiwinb makes')


def partition_table(image: ImageDescription) -> Table:
    """Which partition table the disk has."""
    kind = image.type
    if kind.force_mbr:
        return "msdos"
    if kind.efiparttable in ("gpt", "msdos"):
        return "gpt" if kind.efiparttable == "gpt" else "msdos"
    return "gpt" if uses_efi(image) else "msdos"


def _partitions(image: ImageDescription, table: Table, sector: int) -> Iterator[DiskPartition]:
    kind = image.type

    def filesystem(name: str, key: str, label: str | None, options: tuple[str, ...]) -> Filesystem:
        if name not in FILESYSTEMS:
            raise ImageError(
                f"the file system {name} of the partition {key} is not something kiwinb makes",
                remedy=f"take one of {', '.join(FILESYSTEMS)}",
            )
        return Filesystem(name, identifier(image, f"filesystem/{key}"), label, options, sector)

    def partition(key: str, role: Role, name: str, kind_of: str, size: int | None) -> DiskPartition:
        return DiskPartition(
            key=key,
            role=role,
            number=0,
            name=name,
            type=_TYPES[kind_of][table == "msdos"],
            uuid=identifier(image, f"partition/{key}"),
            size=size,
        )

    def with_clones(original: DiskPartition, count: int) -> Iterator[DiskPartition]:
        if count and original.size is None:
            raise ImageError(
                "a clone of the root partition needs a root partition of a given size",
                remedy="set <oem-systemsize>, and <oem-resize> to false",
            )
        for number in range(1, count + 1):
            key = f"{original.key}clone{number}"
            spec = original.filesystem
            yield replace(
                original,
                key=key,
                name=f"p.lx{key}",
                uuid=identifier(image, f"partition/{key}"),
                filesystem=spec and replace(spec, uuid=identifier(image, f"filesystem/{key}")),
                mountpoint=None,
                clone=True,
            )
        yield original

    if uses_bios(image) and table == "gpt" and sector == 512:
        yield partition("bios", "bios", "p.legacy", "bios", BIOS_SIZE)
    if uses_efi(image):
        size = (kind.efipartsize or DEFAULT_EFI_SIZE) * MIB
        fat = "fat32" if size >= 260 * MIB * (sector // 512) or sector > 512 else "fat16"
        yield replace(
            partition("efi", "efi", "p.UEFI", "efi", size),
            filesystem=filesystem(fat, "efi", "EFI", ()),
            mountpoint="/boot/efi",
            content="/boot/efi",
            options=("umask=0077",),
        )
    root_kind = kind.filesystem or "ext4"
    if kind.bootpartition:
        boot = replace(
            partition(
                "boot", "boot", "p.lxboot", "linux", (kind.bootpartsize or DEFAULT_BOOT_SIZE) * MIB
            ),
            filesystem=filesystem(kind.bootfilesystem or root_kind, "boot", "BOOT", ()),
            mountpoint="/boot",
            content="/boot",
        )
        yield from with_clones(boot, int(kind.attributes.get("boot_clone", "0")))
    oem = kind.oemconfig
    if oem.swap:
        yield replace(
            partition("swap", "swap", "p.swap", "swap", (oem.swapsize or DEFAULT_SWAP_SIZE) * MIB),
            filesystem=filesystem("swap", "swap", oem.swapname or "SWAP", ()),
        )
    for extra in kind.partitions:
        yield from with_clones(_extra(extra, partition, filesystem), extra.clone or 0)
    spare_size = _mebibytes(kind.spare_part or "0", "spare")
    spare_kind = kind.spare_part_fs
    spare = replace(
        partition("spare", "spare", "p.spare", "linux", spare_size),
        filesystem=filesystem(spare_kind, "spare", "SPARE", ()) if spare_kind else None,
        mountpoint=kind.spare_part_mountpoint,
        content=kind.spare_part_mountpoint,
    )
    spare_last = kind.spare_part_is_last and oem.resize is False
    if kind.spare_part and not spare_last:
        yield spare
    root = replace(
        partition("root", "root", "p.lxroot", "linux", _root_size(kind)),
        filesystem=filesystem(root_kind, "root", kind.rootfs_label or "ROOT", kind.fscreateoptions),
        mountpoint="/",
        content="/",
        options=kind.fsmountoptions,
    )
    yield from with_clones(root, int(kind.attributes.get("root_clone", "0")))
    if kind.spare_part and spare_last:
        yield spare


_Make = Callable[[str, Role, str, str, int | None], DiskPartition]
_MakeFilesystem = Callable[[str, str, str | None, tuple[str, ...]], Filesystem]


def _extra(extra: Partition, partition: _Make, filesystem: _MakeFilesystem) -> DiskPartition:
    if extra.name in _RESERVED:
        raise ImageError(
            f"the partition name {extra.name} is taken", remedy="give the <partition> another one"
        )
    if extra.filesystem is None and extra.mountpoint is not None:
        raise ImageError(
            f"the partition {extra.name} has a mountpoint and no filesystem",
            remedy="set its filesystem",
        )
    kind = "raid" if extra.partition_type == "t.raid" else "linux"
    name = extra.partition_name or f"p.lx{extra.name}"
    made = partition(extra.name, "data", name, kind, _mebibytes(extra.size, extra.name))
    spec = extra.filesystem and filesystem(
        extra.filesystem, extra.name, extra.label or extra.name, ()
    )
    return replace(
        made,
        number=int(extra.part_id or 0),
        filesystem=spec or None,
        mountpoint=extra.mountpoint,
        content=extra.mountpoint,
    )


def _mebibytes(text: str, name: str) -> int:
    match = re.fullmatch(r"(\d+)([MG]?)", text.strip())
    if match is None:
        raise ImageError(
            f"the size {text!r} of the partition {name} is not understood",
            remedy="write a number of MiB, or one that ends in M or G",
        )
    return int(match[1]) * MIB * (1024 if match[2] == "G" else 1)


def _root_size(kind: BuildType) -> int | None:
    """With ``oem-resize`` on, ``oem-systemsize`` is the size it grows to at the first boot."""
    oem = kind.oemconfig
    return oem.systemsize * MIB if oem.systemsize and oem.resize is False else None


def disk_size(kind: BuildType) -> DiskSize:
    """What ``<size>`` says."""
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
    """Number the partitions as the description says, the others in order."""
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
            replace(p, number=index + 1 if index < _PRIMARY else index + 2)
            for index, p in enumerate(partitions)
        )
    free = (number for number in range(1, 129) if number not in taken)
    return tuple(replace(p, number=given(p) or next(free)) for p in partitions)
