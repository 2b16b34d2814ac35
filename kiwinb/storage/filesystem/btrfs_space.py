"""Write the data and the trees of a new btrfs on one device, and record the space that they use."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from kiwinb.sizes import MIB
from kiwinb.storage.filesystem.btrfs_chunks import SUPERBLOCK_ROOM, SUPERBLOCKS, Chunks
from kiwinb.storage.filesystem.btrfs_items import (
    BLOCK_GROUP_ITEM,
    CHECKSUM_TREE,
    CHECKSUMS,
    CHUNK_ITEM,
    CHUNK_TREE,
    DATA,
    DEV_EXTENT,
    DEV_ITEM,
    DEVICE_TREE,
    DIR_ITEM,
    DIRECTORY_OF_ROOTS,
    EXTENT_CSUM,
    EXTENT_ITEM,
    EXTENT_TREE,
    FIRST_INODE,
    FREE_SPACE_EXTENT,
    FREE_SPACE_INFO,
    FREE_SPACE_TREE,
    INODE_ITEM,
    INODE_REF,
    METADATA,
    METADATA_ITEM,
    NODE,
    RELOCATION_TREE,
    ROOT_ITEM,
    ROOT_TREE,
    SECTOR,
    SYSTEM,
    TOP_TREE,
    UUID_ITEM,
    UUID_TREE,
    Identity,
    Item,
    checksum,
    data_extent,
    default_item,
    device_item,
    inode_item,
    metadata_extent,
    name_hash,
    reference,
    root_item,
    superblock,
)
from kiwinb.storage.filesystem.btrfs_tree import TreeWriter

_METADATA_ROOM = 32
"""Number of blocks left for the trees whose size is not known before they are written."""

_LARGEST_EXTENT = 128 * MIB
_CHECKSUMS_PER_ITEM = 2000
_EXTENT_ITEM_SIZE = 78  # bytes of the largest item in the extent tree, with its header


@dataclass(frozen=True)
class DataExtent:
    """An extent of a file.

    Attributes:
        address: Logical address of its first byte.
        size: Size in bytes, in whole sectors.
        inode: Inode of the file.
        offset: Offset in the file, in bytes.
    """

    address: int
    size: int
    inode: int
    offset: int

    def followed_by(self, other: DataExtent) -> DataExtent | None:
        """Join this extent and the next one of the file; ``None`` if they are not contiguous."""
        size = self.size + other.size
        follows = (self.address + self.size, self.offset + self.size)
        if follows != (other.address, other.offset) or size > _LARGEST_EXTENT:
            return None
        return replace(self, size=size)


class Space:
    """The space of a file system that is being made.

    Args:
        file: The image, open for reading and writing; it consists of one hole.
        size: Size of the device in bytes.
        identity: Identity of the file system.

    Raises:
        FilesystemFull: The device is too small; this holds for all methods that allocate space.
    """

    def __init__(self, file: BinaryIO, size: int, identity: Identity) -> None:
        self._file = file
        self._size = size // SECTOR * SECTOR
        self._identity = identity
        self._chunks = Chunks(self._size)
        self._data: list[DataExtent] = []
        self._checksums: list[tuple[int, bytearray]] = []
        self._blocks: list[tuple[int, int, int]] = []
        self._roots: dict[int, tuple[int, int]] = {}

    # Data

    def write_file(self, pieces: Iterable[tuple[int, bytes]], inode: int) -> list[DataExtent]:
        """Write the data of a file; return its extents.

        Args:
            pieces: Content as (offset in bytes, data), in order.
            inode: Inode of the file.
        """
        found: list[DataExtent] = []
        for offset, data in pieces:
            data += bytes(-len(data) % SECTOR)
            chunk, address = self._chunks.allocate(DATA, len(data))
            self._write(chunk.places[0] + address - chunk.address, data)
            self._note_checksums(address, data)
            extent = DataExtent(address, len(data), inode, offset)
            # Data that directly follows the last extent, on disk and in the file, extends it.
            whole = found[-1].followed_by(extent) if found and address > chunk.address else None
            found[-1 if whole else len(found) :] = [whole or extent]
        self._data += found
        return found

    def _note_checksums(self, address: int, data: bytes) -> None:
        view = memoryview(data)
        found = (checksum(view[at : at + SECTOR]) for at in range(0, len(data), SECTOR))
        packed = b"".join(struct.pack("<I", number) for number in found)
        if self._checksums:
            start, before = self._checksums[-1]
            count = len(before) // 4
            if start + count * SECTOR == address and count < _CHECKSUMS_PER_ITEM:
                before += packed
                return
        self._checksums.append((address, bytearray(packed)))

    # Trees

    def tree(self, number: int) -> TreeWriter:
        """Start a tree; :meth:`end_tree` ends it."""
        kind = SYSTEM if number == CHUNK_TREE else METADATA

        def allocate(level: int) -> int:
            _, address = self._chunks.allocate(kind, NODE)
            self._blocks.append((address, level, number))
            return address

        return TreeWriter(number, self._identity, allocate, self._write_block)

    def end_tree(self, number: int, tree: TreeWriter) -> None:
        """End a tree, and record its root."""
        self._roots[number] = tree.finish()

    def _write_tree(self, number: int, items: list[Item]) -> None:
        tree = self.tree(number)
        for item in items:
            tree.add(*item)
        self.end_tree(number, tree)

    def _write_block(self, address: int, data: bytes) -> None:
        chunk = self._chunks.holding(address)
        for place in chunk.places:
            self._write(place + address - chunk.address, data)

    def _write(self, at: int, data: bytes) -> None:
        self._file.seek(at)
        self._file.write(data)

    def finish(self, label: bytes, created_ns: int) -> None:
        """Write the trees that record the used space, and the superblocks.

        Args:
            label: Label of the file system.
            created_ns: Creation time, in nanoseconds since 1970-01-01 UTC.

        Raises:
            FilesystemFull: There is not enough room for them.
        """
        self._write_tree(CHECKSUM_TREE, self._checksum_items())
        self._write_tree(RELOCATION_TREE, _empty_directory(created_ns))
        key = (*struct.unpack("<QQ", self._identity.top),)
        uuids = [((key[0], UUID_ITEM, key[1]), struct.pack("<Q", TOP_TREE))]
        self._write_tree(UUID_TREE, uuids)
        self._make_room()
        self._write_tree(DEVICE_TREE, self._device_items())
        self._write_tree(CHUNK_TREE, self._chunk_items())
        # The content of the next two trees depends on the extent tree, but their size does not.
        _, roots = self._chunks.allocate(METADATA, NODE)
        self._blocks.append((roots, 0, ROOT_TREE))
        free = self._set_aside(FREE_SPACE_TREE, self._free_items())
        self._write_extents()
        self._write_at(FREE_SPACE_TREE, self._free_items(), free)
        self._write_at(ROOT_TREE, self._root_items(created_ns), [roots])
        self._write_superblocks(label)

    def _make_room(self) -> None:
        """Make sure that the current metadata chunk has room for all remaining trees."""
        items = len(self._data) + len(self._blocks) + len(self._chunks.all)
        blocks = items * _EXTENT_ITEM_SIZE // (NODE * 9 // 10) + _METADATA_ROOM
        self._chunks.reserve(METADATA, (blocks + 1) * NODE)

    def _shape(self, items: list[Item]) -> list[int]:
        """Return the levels of a tree's blocks, in the order in which they are allocated."""
        levels: list[int] = []

        def allocate(level: int) -> int:
            levels.append(level)
            return 0

        tree = TreeWriter(0, self._identity, allocate, lambda address, data: None)
        for item in items:
            tree.add(*item)
        tree.finish()
        return levels

    def _set_aside(self, number: int, items: list[Item]) -> list[int]:
        """Allocate the blocks of a tree that is written later."""
        addresses = []
        for level in self._shape(items):
            _, address = self._chunks.allocate(METADATA, NODE)
            self._blocks.append((address, level, number))
            addresses.append(address)
        return addresses

    def _write_at(self, number: int, items: list[Item], addresses: list[int]) -> None:
        places = iter(addresses)
        tree = TreeWriter(number, self._identity, lambda level: next(places), self._write_block)
        for item in items:
            tree.add(*item)
        self.end_tree(number, tree)

    def _write_extents(self) -> None:
        """Write the extent tree, which also records its own blocks."""
        chunk, others, levels = self._chunks.current[METADATA], list(self._blocks), [0]
        first, used = chunk.address + chunk.used, chunk.used
        while True:
            addresses = [first + NODE * index for index in range(len(levels))]
            own = [(a, level, EXTENT_TREE) for a, level in zip(addresses, levels, strict=True)]
            self._blocks = [*others, *own]
            chunk.used = used + NODE * len(own)
            items = self._extent_items()
            shape = self._shape(items)
            if shape == levels:
                break
            levels = shape
        self._write_at(EXTENT_TREE, items, addresses)

    def _write_superblocks(self, label: bytes) -> None:
        system = [chunk for chunk in self._chunks.all if chunk.kind & SYSTEM]
        for place in SUPERBLOCKS:
            if place + SUPERBLOCK_ROOM <= self._size:
                block = superblock(
                    self._identity,
                    place=place,
                    label=label,
                    size=self._size,
                    used=sum(chunk.used for chunk in self._chunks.all),
                    device=self._device_item(),
                    root=self._roots[ROOT_TREE],
                    chunk_root=self._roots[CHUNK_TREE],
                    system=system,
                )
                self._write(place, block)

    # Items

    def _checksum_items(self) -> list[Item]:
        return [
            ((CHECKSUMS, EXTENT_CSUM, address), bytes(numbers))
            for address, numbers in self._checksums
        ]

    def _device_item(self) -> bytes:
        used = sum(chunk.size * len(chunk.places) for chunk in self._chunks.all)
        return device_item(self._identity, size=self._size, used=used)

    def _device_items(self) -> list[Item]:
        return sorted(
            ((1, DEV_EXTENT, place), chunk.device_extent(self._identity))
            for chunk in self._chunks.all
            for place in chunk.places
        )

    def _chunk_items(self) -> list[Item]:
        device: Item = ((1, DEV_ITEM, 1), self._device_item())
        return [
            device,
            *(
                ((FIRST_INODE, CHUNK_ITEM, chunk.address), chunk.item(self._identity))
                for chunk in self._chunks.all
            ),
        ]

    def _extent_items(self) -> list[Item]:
        found: list[Item] = [
            ((chunk.address, BLOCK_GROUP_ITEM, chunk.size), chunk.group_item())
            for chunk in self._chunks.all
        ]
        for address, level, owner in self._blocks:
            found.append(((address, METADATA_ITEM, level), metadata_extent(owner)))
        for extent in self._data:
            key = (extent.address, EXTENT_ITEM, extent.size)
            found.append((key, data_extent(extent.inode, extent.offset)))
        return sorted(found)

    def _free_items(self) -> list[Item]:
        found: list[Item] = []
        for chunk in self._chunks.all:
            left = chunk.size - chunk.used
            key = (chunk.address, FREE_SPACE_INFO, chunk.size)
            found.append((key, struct.pack("<II", 1 if left else 0, 0)))
            if left:
                found.append(((chunk.address + chunk.used, FREE_SPACE_EXTENT, left), b""))
        return sorted(found)

    def _root_items(self, created_ns: int) -> list[Item]:
        directory = DIRECTORY_OF_ROOTS
        found: list[Item] = [
            ((TOP_TREE, INODE_REF, directory), reference(0, b"default")),
            *_directory_items(directory, directory, created_ns),
            ((directory, DIR_ITEM, name_hash(b"default")), default_item()),
        ]
        blocks = Counter(owner for _, _, owner in self._blocks)
        for number, (address, level) in self._roots.items():
            if number in (ROOT_TREE, CHUNK_TREE):
                continue
            top = number == TOP_TREE
            item = root_item(
                address,
                level,
                used=blocks[number] * NODE,
                directory=FIRST_INODE if number in (TOP_TREE, RELOCATION_TREE) else 0,
                own=self._identity.top if top else bytes(16),
                created_ns=created_ns if top else 0,
            )
            found.append(((number, ROOT_ITEM, 0), item))
        return sorted(found)


def _directory_items(number: int, parent: int, created_ns: int) -> Iterator[Item]:
    inode = inode_item(mode=0o40755, stored=NODE, modified_ns=created_ns, created_ns=created_ns)
    yield (number, INODE_ITEM, 0), inode
    yield (number, INODE_REF, parent), reference(0, b"..")


def _empty_directory(created_ns: int) -> list[Item]:
    return list(_directory_items(FIRST_INODE, FIRST_INODE, created_ns))
