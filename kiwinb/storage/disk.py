"""The disk of an image, as frozen data: its table, its partitions, and where they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from kiwinb.sizes import MIB
from kiwinb.storage.filesystem.spec import Filesystem
from kiwinb.storage.node import FilesystemNode, Node, innermost

Table = Literal["gpt", "msdos"]
Role = Literal["bios", "efi", "boot", "swap", "data", "spare", "root"]

PRIMARY = 3
"""Primary partitions of an MBR that has an extended one, which is the fourth."""


@dataclass(frozen=True)
class DiskPartition:
    """One partition.

    Attributes:
        key: Unique on the disk: ``root``, ``homeclone1``.
        role: What it is for.
        number: In the partition table.
        name: In the partition table (GPT).
        type: Partition type, a GUID or, in an MBR, two hexadecimal digits.
        uuid: Of the partition (GPT).
        size: In bytes; ``None`` when its content decides.
        content: What is in it.
        clone: It is a copy that the system does not use.
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
        """The file system in it, at whatever depth."""
        return innermost(self.content)

    @property
    def filesystem(self) -> Filesystem | None:
        """What is asked of that file system."""
        return self.files.spec if self.files else None

    @property
    def mountpoint(self) -> str | None:
        """Where the running system has that file system."""
        return self.files.mountpoint if self.files else None


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

    @property
    def first_sector(self) -> int:
        """Where the first partition starts, in sectors of 512 bytes."""
        return self.start * self.sector_size // 512

    def excluded(self, partition: DiskPartition) -> tuple[str, ...]:
        """What of a partition's directory is in the file systems of others, relative to it."""
        files = partition.files
        if files is None or files.directory is None or files.source is not None:
            return ()
        here = files.directory.rstrip("/") + "/"
        others = {p.mountpoint.rstrip("/") for p in self.partitions if p.mountpoint and not p.clone}
        below = sorted(path for path in others if path.startswith(here))
        return tuple(f"{path.removeprefix(here)}/*" for path in below)

    def offsets(self, sizes: dict[str, int]) -> tuple[dict[str, int], int]:
        """Where each partition starts, and where the last one ends, in bytes.

        Args:
            sizes: Of each partition by key, in bytes.
        """
        at = self.start * self.sector_size
        starts = {}
        for index, partition in enumerate(self.partitions):
            if self.extended and index >= PRIMARY:
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
