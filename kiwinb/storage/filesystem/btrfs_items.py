"""Pack the items of btrfs's trees, and its superblocks.

Source of the format: btrfs's developer documentation of its on-disk format. All numbers are little
endian.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from kiwinb.storage.filesystem.libext2fs import crc32c

NODE = 16384
"""Size of a block of a tree in bytes."""

SECTOR = 4096
GENERATION = 1
FIRST_INODE = 256
LARGEST = (1 << 64) - 1

ROOT_TREE, EXTENT_TREE, CHUNK_TREE, DEVICE_TREE, TOP_TREE = 1, 2, 3, 4, 5
DIRECTORY_OF_ROOTS = 6
CHECKSUM_TREE, UUID_TREE, FREE_SPACE_TREE = 7, 9, 10
CHECKSUMS = LARGEST + 1 - 10
RELOCATION_TREE = LARGEST + 1 - 9

INODE_ITEM, INODE_REF, INODE_EXTREF, XATTR_ITEM = 1, 12, 13, 24
DIR_ITEM, DIR_INDEX, EXTENT_DATA, EXTENT_CSUM = 84, 96, 108, 128
ROOT_ITEM, EXTENT_ITEM, METADATA_ITEM, BLOCK_GROUP_ITEM = 132, 168, 169, 192
FREE_SPACE_INFO, FREE_SPACE_EXTENT = 198, 199
DEV_EXTENT, DEV_ITEM, CHUNK_ITEM, UUID_ITEM = 204, 216, 228, 251

DATA, SYSTEM, METADATA, DUPLICATED = 0x1, 0x2, 0x4, 0x20
XATTR_TYPE = 8

_TREE_BLOCK_REF, _EXTENT_DATA_REF = 176, 178
_EXTENT_DATA, _EXTENT_TREE_BLOCK = 1, 2
_ROOT_ITEM_COMPLETE = 1 << 31
_STRIPE = 65536
_FEATURES = 0x1 | 0x20 | 0x40 | 0x100 | 0x200
_READ_ONLY_FEATURES = 0x1 | 0x2  # has a free space tree, and the tree is valid
_SUPERBLOCK = 4096

Key = tuple[int, int, int]
"""Object, item type and offset; items are sorted by their keys."""

Item = tuple[Key, bytes]


def checksum(data: bytes | bytearray | memoryview) -> int:
    """Compute the CRC-32C of data or of a tree block."""
    return crc32c(data) ^ 0xFFFFFFFF


def name_hash(name: bytes) -> int:
    """Compute the hash of a name in a directory or of an extended attribute."""
    return crc32c(name, 0xFFFFFFFE)


def reference_hash(parent: int, name: bytes) -> int:
    """Compute the hash of a name together with the inode of its directory."""
    return crc32c(name, parent & 0xFFFFFFFF)


def packed_key(key: Key) -> bytes:
    """Pack a key in its form on disk."""
    return struct.pack("<QBQ", *key)


@dataclass(frozen=True)
class Identity:
    """UUIDs of a file system and its parts, each 16 bytes.

    Attributes:
        filesystem: UUID of the file system.
        device: UUID of the device.
        chunks: UUID of the chunk tree.
        top: UUID of the top-level subvolume.
    """

    filesystem: bytes
    device: bytes
    chunks: bytes
    top: bytes

    @classmethod
    def of(cls, text: str) -> Identity:
        """Derive all UUIDs from the UUID of the file system."""
        own = uuid.UUID(text)
        others = (uuid.uuid5(own, name).bytes for name in ("device", "chunks", "top"))
        return cls(own.bytes, *others)


def inode_item(
    *,
    mode: int,
    size: int = 0,
    stored: int = 0,
    links: int = 1,
    uid: int = 0,
    gid: int = 0,
    device: tuple[int, int] | None = None,
    modified_ns: int = 0,
    created_ns: int = 0,
    flags: int = 0,
) -> bytes:
    """Pack an inode.

    Args:
        mode: File type and permissions.
        size: Size in bytes; for a directory, twice the length of all names.
        stored: Size of its extents in bytes.
        links: Number of its names; 1 for a directory.
        uid: Owner.
        gid: Group.
        device: Major and minor number of a device node.
        modified_ns: Modification time, in nanoseconds since 1970-01-01 UTC.
        created_ns: Creation time, in nanoseconds since 1970-01-01 UTC.
        flags: Flags of the inode.
    """
    major, minor = device or (0, 0)
    modified, created = divmod(modified_ns, 10**9), divmod(created_ns, 10**9)
    return struct.pack(
        "<QQQQQIIIIQQQ32xqIqIqIqI",
        *(GENERATION, GENERATION, size, stored, 0, links, uid, gid, mode),
        *(major << 20 | minor, flags, 0),
        *(*modified, *modified, *modified, *created),
    )


def name_item(inode: int, kind: int, name: bytes) -> bytes:
    """Pack an entry of a directory."""
    return _named((inode, INODE_ITEM, 0), kind, name, b"")


def xattr_item(name: bytes, value: bytes) -> bytes:
    """Pack an extended attribute."""
    return _named((0, 0, 0), XATTR_TYPE, name, value)


def default_item() -> bytes:
    """Pack the entry ``default`` of the root tree's directory."""
    return _named((TOP_TREE, ROOT_ITEM, LARGEST), 2, b"default", b"")


def _named(key: Key, kind: int, name: bytes, value: bytes) -> bytes:
    head = struct.pack("<QHHB", GENERATION, len(value), len(name), kind)
    return packed_key(key) + head + name + value


def reference(index: int, name: bytes) -> bytes:
    """Pack a name of an inode, for the item that holds its names in one directory."""
    return struct.pack("<QH", index, len(name)) + name


def far_reference(parent: int, index: int, name: bytes) -> bytes:
    """Pack a name of an inode for which :func:`reference` has no room."""
    return struct.pack("<QQH", parent, index, len(name)) + name


def inline_extent(data: bytes) -> bytes:
    """Pack the content of a file that is stored in the tree itself."""
    return struct.pack("<QQIB", GENERATION, len(data), 0, 0) + data


def file_extent(address: int, size: int) -> bytes:
    """Pack a reference from a file to its data at an address."""
    return struct.pack("<QQIBQQQQ", GENERATION, size, 0, 1, address, size, 0, size)


def metadata_extent(owner: int) -> bytes:
    """Pack the record that a block of a tree is in use."""
    head = struct.pack("<QQQ", 1, GENERATION, _EXTENT_TREE_BLOCK)
    return head + struct.pack("<BQ", _TREE_BLOCK_REF, owner)


def data_extent(inode: int, offset: int) -> bytes:
    """Pack the record that data of a file is in use."""
    head = struct.pack("<QQQ", 1, GENERATION, _EXTENT_DATA)
    return head + struct.pack("<BQQQI", _EXTENT_DATA_REF, TOP_TREE, inode, offset, 1)


def root_item(
    address: int,
    level: int,
    *,
    used: int,
    directory: int = 0,
    own: bytes = bytes(16),
    created_ns: int = 0,
) -> bytes:
    """Pack the root of a tree.

    Args:
        address: Address of its root block.
        level: Level of its root block.
        used: Size of all its blocks in bytes.
        directory: Inode of its root directory; 0 if it has none.
        own: UUID of a subvolume.
        created_ns: Creation time, in nanoseconds since 1970-01-01 UTC.
    """
    inode = inode_item(mode=0o40755, size=3, stored=NODE, flags=_ROOT_ITEM_COMPLETE)
    first = struct.pack("<QQQQQQQI", GENERATION, directory, address, 0, used, 0, 0, 1)
    times = struct.pack("<QI", *divmod(created_ns, 10**9)) * 2 + bytes(24)
    return b"".join(
        (
            *(inode, first, bytes(18), bytes((level,)), struct.pack("<Q", GENERATION)),
            *(own, bytes(32), bytes(32), times, bytes(64)),
        )
    )


@dataclass
class Chunk:
    """A range of logical addresses, and its places on the device.

    Attributes:
        address: Logical address of its first byte.
        size: Size in bytes.
        kind: ``DATA``, ``SYSTEM`` or ``METADATA``; the latter two also with ``DUPLICATED``.
        places: Offset of each copy on the device, in bytes.
        used: Number of bytes in use, from the start.
    """

    address: int
    size: int
    kind: int
    places: tuple[int, ...]
    used: int = 0

    def item(self, identity: Identity) -> bytes:
        """Pack its item in the chunk tree."""
        head = struct.pack("<QQQQ", self.size, EXTENT_TREE, _STRIPE, self.kind)
        head += struct.pack("<IIIHH", _STRIPE, _STRIPE, SECTOR, len(self.places), 1)
        copies = (struct.pack("<QQ", 1, place) + identity.device for place in self.places)
        return head + b"".join(copies)

    def device_extent(self, identity: Identity) -> bytes:
        """Pack its item in the device tree, which is the same for each copy."""
        head = struct.pack("<QQQQ", CHUNK_TREE, FIRST_INODE, self.address, self.size)
        return head + identity.chunks

    def group_item(self) -> bytes:
        """Pack its item in the extent tree."""
        return struct.pack("<QQQ", self.used, FIRST_INODE, self.kind)


def device_item(identity: Identity, *, size: int, used: int) -> bytes:
    """Pack the item of the device.

    Args:
        identity: Identity of the file system.
        size: Size of the device in bytes.
        used: Size of all chunks on the device in bytes.
    """
    head = struct.pack("<QQQIIIQQQ", 1, size, used, SECTOR, SECTOR, SECTOR, 0, 0, 0)
    return head + bytes(6) + identity.device + identity.filesystem


def superblock(
    identity: Identity,
    *,
    place: int,
    label: bytes,
    size: int,
    used: int,
    device: bytes,
    root: tuple[int, int],
    chunk_root: tuple[int, int],
    system: Sequence[Chunk],
) -> bytes:
    """Pack a superblock.

    Args:
        identity: Identity of the file system.
        place: Offset of the superblock on the device, in bytes.
        label: Label of the file system.
        size: Size of the device in bytes.
        used: Number of bytes in use.
        device: Item of the device.
        root: Address and level of the root tree.
        chunk_root: Address and level of the chunk tree.
        system: The chunks that hold the chunk tree.
    """
    block = bytearray(_SUPERBLOCK)
    struct.pack_into("<16sQQ8s", block, 32, identity.filesystem, place, 1, b"_BHRfS_M")
    struct.pack_into("<QQQ", block, 72, GENERATION, root[0], chunk_root[0])
    struct.pack_into("<QQQQ", block, 112, size, used, DIRECTORY_OF_ROOTS, 1)
    struct.pack_into("<IIII", block, 144, SECTOR, NODE, NODE, SECTOR)
    chunks = b"".join(
        packed_key((FIRST_INODE, CHUNK_ITEM, chunk.address)) + chunk.item(identity)
        for chunk in system
    )
    struct.pack_into("<IQ", block, 160, len(chunks), GENERATION)
    struct.pack_into("<QQQ", block, 172, 0, _READ_ONLY_FEATURES, _FEATURES)
    struct.pack_into("<HBB", block, 196, 0, root[1], chunk_root[1])
    block[201 : 201 + len(device)] = device
    block[299 : 299 + len(label)] = label
    struct.pack_into("<QQ", block, 555, 0, GENERATION)
    block[811 : 811 + len(chunks)] = chunks
    struct.pack_into("<I", block, 0, checksum(memoryview(block)[32:]))
    return bytes(block)
