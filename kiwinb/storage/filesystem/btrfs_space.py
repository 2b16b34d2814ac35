"""Manage the space of a new btrfs on one device: chunks, and the use of their bytes."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from kiwinb.sizes import MIB
from kiwinb.storage.filesystem.btrfs_tree import (
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
    DUPLICATED,
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
    Chunk,
    Identity,
    Key,
    TreeWriter,
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
from kiwinb.storage.filesystem.spec import FilesystemFull

_SUPERBLOCKS = (64 << 10, 64 << 20, 256 << 30)
_SUPERBLOCK_ROOM = 64 << 10
_SYSTEM_SIZE = 4 * MIB
_METADATA_SIZE = 32 * MIB
_MOST_DATA = 1 << 30
_LARGEST_EXTENT = 128 * MIB
_CHECKSUMS_PER_ITEM = 2000
_EXTENT_ITEM_SIZE = 78  # bytes of the largest item in the extent tree, with its header

Item = tuple[Key, bytes]


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
        self._device_end = MIB
        self._chunks: list[Chunk] = []
        self._current: dict[int, Chunk] = {}
        self._data: list[DataExtent] = []
        self._checksums: list[tuple[int, bytearray]] = []
        self._blocks: list[tuple[int, int, int]] = []
        self._roots: dict[int, tuple[int, int]] = {}
        self._new_chunk(SYSTEM, _SYSTEM_SIZE, _SYSTEM_SIZE)

    # Chunks

    def _allocate(self, kind: int, size: int) -> tuple[Chunk, int]:
        """Allocate bytes for a kind of data; return their chunk and their address."""
        chunk = self._current.get(kind)
        if chunk is None or chunk.used + size > chunk.size:
            wanted = _METADATA_SIZE if kind == METADATA else self._data_chunk_size()
            chunk = self._new_chunk(kind, wanted, size)
        address = chunk.address + chunk.used
        chunk.used += size
        return chunk, address

    def _data_chunk_size(self) -> int:
        return max(8 * MIB, min(_MOST_DATA, self._size // 10 // MIB * MIB))

    def _new_chunk(self, kind: int, wanted: int, least: int) -> Chunk:
        """Make a chunk; if there is no room for the wanted size, make it as small as allowed."""
        copies = 1 if kind == DATA else 2
        wanted = max(wanted, -(-least // MIB) * MIB)
        end, places = self._places(copies, wanted)
        if end > self._size:
            wanted = -(-least // MIB) * MIB
            end, places = self._places(copies, wanted)
            if end > self._size:
                raise FilesystemFull("the btrfs file system is too small for its content")
        self._device_end = end
        last = self._chunks[-1] if self._chunks else None
        address = last.address + last.size if last else MIB
        profile = DUPLICATED if copies == 2 else 0
        chunk = Chunk(address, wanted, kind | profile, places)
        self._chunks.append(chunk)
        self._current[kind] = chunk
        return chunk

    def _places(self, copies: int, size: int) -> tuple[int, tuple[int, ...]]:
        """Find places on the device for the copies of a chunk, avoiding the superblocks.

        Returns:
            The end of the last copy, and the start of each copy, in bytes.
        """
        end, places = self._device_end, list[int]()
        for _ in range(copies):
            for mirror in _SUPERBLOCKS:
                if end < mirror + _SUPERBLOCK_ROOM and mirror < end + size:
                    end = -(-(mirror + _SUPERBLOCK_ROOM) // MIB) * MIB
            places.append(end)
            end += size
        return end, tuple(places)

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
            chunk, address = self._allocate(DATA, len(data))
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
            _, address = self._allocate(kind, NODE)
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
        chunk = next(c for c in reversed(self._chunks) if c.address <= address)
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
        _, roots = self._allocate(METADATA, NODE)
        self._blocks.append((roots, 0, ROOT_TREE))
        free = self._set_aside(FREE_SPACE_TREE, self._free_items())
        self._write_extents()
        self._write_at(FREE_SPACE_TREE, self._free_items(), free)
        self._write_at(ROOT_TREE, self._root_items(created_ns), [roots])
        self._write_superblocks(label)

    def _make_room(self) -> None:
        """Make sure that the current metadata chunk has room for all remaining trees."""
        items = len(self._data) + len(self._blocks) + len(self._chunks)
        blocks = items * _EXTENT_ITEM_SIZE // (NODE * 9 // 10) + 32
        chunk = self._current[METADATA]
        if chunk.used + blocks * NODE >= chunk.size:
            self._new_chunk(METADATA, _METADATA_SIZE, (blocks + 1) * NODE)

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
            _, address = self._allocate(METADATA, NODE)
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
        chunk, others, levels = self._current[METADATA], list(self._blocks), [0]
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
        system = [chunk for chunk in self._chunks if chunk.kind & SYSTEM]
        for place in _SUPERBLOCKS:
            if place + _SUPERBLOCK_ROOM <= self._size:
                block = superblock(
                    self._identity,
                    place=place,
                    label=label,
                    size=self._size,
                    used=sum(chunk.used for chunk in self._chunks),
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
        used = sum(chunk.size * len(chunk.places) for chunk in self._chunks)
        return device_item(self._identity, size=self._size, used=used)

    def _device_items(self) -> list[Item]:
        return sorted(
            ((1, DEV_EXTENT, place), chunk.device_extent(self._identity))
            for chunk in self._chunks
            for place in chunk.places
        )

    def _chunk_items(self) -> list[Item]:
        device: Item = ((1, DEV_ITEM, 1), self._device_item())
        return [
            device,
            *(
                ((FIRST_INODE, CHUNK_ITEM, chunk.address), chunk.item(self._identity))
                for chunk in self._chunks
            ),
        ]

    def _extent_items(self) -> list[Item]:
        found: list[Item] = [
            ((chunk.address, BLOCK_GROUP_ITEM, chunk.size), chunk.group_item())
            for chunk in self._chunks
        ]
        for address, level, owner in self._blocks:
            found.append(((address, METADATA_ITEM, level), metadata_extent(owner)))
        for extent in self._data:
            key = (extent.address, EXTENT_ITEM, extent.size)
            found.append((key, data_extent(extent.inode, extent.offset)))
        return sorted(found)

    def _free_items(self) -> list[Item]:
        found: list[Item] = []
        for chunk in self._chunks:
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
