"""The disk of an image as frozen data: its partition table, and the places of its partitions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from kiwinb.sizes import MIB
from kiwinb.storage.filesystem.spec import Filesystem
from kiwinb.storage.node import FilesystemNode, Node, innermost

Table = Literal["gpt", "msdos"]
Role = Literal["bios", "efi", "boot", "swap", "data", "spare", "root"]

PRIMARY = 3
"""Number of primary partitions in an MBR whose fourth partition is an extended one."""


@dataclass(frozen=True)
class DiskPartition:
    """A partition.

    Attributes:
        key: Name that is unique on the disk, such as ``root`` or ``homeclone1``.
        role: Purpose of the partition.
        number: Number in the partition table.
        name: Name in the partition table (GPT).
        type: Partition type: a GUID or, in an MBR, two hexadecimal digits.
        uuid: UUID of the partition (GPT).
        size: Size in bytes; ``None`` if it depends on the content.
        content: Content of the partition.
        clone: Whether this is a copy that the system does not use.
    """

    key: str
    role: Role
    number: int
    name: str
    type: str
    uuid: str
    size: int | None
    content: Node | None = None
    clone: bool = False

    @property
    def files(self) -> FilesystemNode | None:
        """The file system in the partition, at any depth."""
        return innermost(self.content)

    @property
    def filesystem(self) -> Filesystem | None:
        """Specification of that file system."""
        return self.files.spec if self.files else None

    @property
    def mountpoint(self) -> str | None:
        """Mount point of that file system in the running system."""
        return self.files.mountpoint if self.files else None


@dataclass(frozen=True)
class DiskSize:
    """Requested size of a disk.

    Attributes:
        total: Size of the disk in bytes; ``None`` if it depends on the content.
        extra: Number of bytes that the root partition gets in addition to its content.
        unpartitioned: Number of bytes to leave unpartitioned at the end.
    """

    total: int | None = None
    extra: int = 0
    unpartitioned: int = 0


@dataclass(frozen=True)
class DiskLayout:
    """The disk of an image.

    Attributes:
        table: Type of the partition table.
        uuid: UUID of the disk; its first 32 bits are the disk signature of an MBR.
        start: First sector of the first partition, in sectors of ``sector_size``.
        sector_size: Size of a sector in bytes.
        partitions: The partitions, in their order on the disk.
        size: Requested size of the disk.
        extended: Whether the fourth partition of an MBR is an extended one, which holds all
            partitions after the third.
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
        """Disk signature of an MBR, 8 hexadecimal digits."""
        return self.uuid[:8]

    def one(self, role: Role) -> DiskPartition | None:
        """Return the partition with a role, ignoring clones; ``None`` if there is none."""
        return next((p for p in self.partitions if p.role == role and not p.clone), None)

    @property
    def root(self) -> DiskPartition:
        """The root partition."""
        found = self.one("root")
        assert found is not None
        return found

    @property
    def boot(self) -> DiskPartition:
        """The partition that holds ``/boot``."""
        return self.one("boot") or self.root

    def partuuid(self, partition: DiskPartition) -> str:
        """Return the value of ``PARTUUID=`` for a partition."""
        if self.table == "gpt":
            return partition.uuid
        return f"{self.signature}-{partition.number:02x}"

    @property
    def end_reserve(self) -> int:
        """Number of bytes at the end of the disk that partitions may not use."""
        return (MIB if self.table == "gpt" else 0) + self.size.unpartitioned

    @property
    def first_sector(self) -> int:
        """First sector of the first partition, in sectors of 512 bytes."""
        return self.start * self.sector_size // 512

    def excluded(self, partition: DiskPartition) -> tuple[str, ...]:
        """Return paths that a partition leaves out because other file systems hold them.

        The paths are relative to the directory that the partition is filled from.
        """
        files = partition.files
        if files is None or files.directory is None or files.source is not None:
            return ()
        here = files.directory.rstrip("/") + "/"
        others = {p.mountpoint.rstrip("/") for p in self.partitions if p.mountpoint and not p.clone}
        below = sorted(path for path in others if path.startswith(here))
        return tuple(f"{path.removeprefix(here)}/*" for path in below)

    def offsets(self, sizes: dict[str, int]) -> tuple[dict[str, int], int]:
        """Compute where each partition starts, by key, and where the last one ends, in bytes.

        Args:
            sizes: Sizes of the partitions in bytes, by key.
        """
        at = self.start * self.sector_size
        starts = {}
        for index, partition in enumerate(self.partitions):
            if self.extended and index >= PRIMARY:
                at += MIB  # room for its extended boot record
            at = -(-at // MIB) * MIB if index else at
            starts[partition.key] = at
            at += sizes[partition.key]
        return starts, at

    def root_size(self) -> int | None:
        """Compute the root partition's size in bytes; ``None`` if it depends on the content."""
        if self.root.size is not None or self.size.total is None:
            return self.root.size
        sizes = {p.key: p.size or 0 for p in self.partitions}
        _, end = self.offsets(sizes)
        return (self.size.total - self.end_reserve - end) // MIB * MIB
