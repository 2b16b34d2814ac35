"""Write B-trees of btrfs, whose items :mod:`kiwinb.storage.filesystem.btrfs_items` packs."""

from __future__ import annotations

import struct
from collections.abc import Callable

from kiwinb.storage.filesystem.btrfs_items import (
    GENERATION,
    NODE,
    Identity,
    Item,
    Key,
    checksum,
)

_HEADER = 101
_ITEM = 25
_POINTER = 33
_WRITTEN = 1 | 1 << 56  # flag "written", and the revision with back references

MOST_ITEM = NODE - _HEADER - _ITEM
"""Largest size of an item in bytes."""


class TreeWriter:
    """Writer of a B-tree whose items are added in order.

    Args:
        owner: Number of the tree.
        identity: Identity of the file system.
        allocate: Called with a level; returns the address for a block of that level.
        write: Called with an address and a block; writes the block.
    """

    def __init__(
        self,
        owner: int,
        identity: Identity,
        allocate: Callable[[int], int],
        write: Callable[[int, bytes], None],
    ) -> None:
        self._owner = owner
        self._identity = identity
        self._allocate = allocate
        self._write = write
        self._items: list[Item] = []
        self._used = _HEADER
        self._above: list[list[tuple[Key, int]]] = []

    def add(self, key: Key, data: bytes) -> None:
        """Add an item; its key has to be greater than all earlier ones."""
        size = _ITEM + len(data)
        if self._used + size > NODE:
            self._end_leaf()
        self._items.append((key, data))
        self._used += size

    def finish(self) -> tuple[int, int]:
        """Write the remaining blocks; return the address and level of the root."""
        if self._items or not self._above:
            self._end_leaf()
        level = 0
        while len(self._above[level]) > 1 or level + 1 < len(self._above):
            self._end_node(level)
            level += 1
        return self._above[level][0][1], level

    def _end_leaf(self) -> None:
        place = self._allocate(0)
        block = self._header(place, 0, len(self._items))
        end = NODE
        for index, (key, data) in enumerate(self._items):
            end -= len(data)
            at = _HEADER + _ITEM * index
            struct.pack_into("<QBQII", block, at, *key, end - _HEADER, len(data))
            block[end : end + len(data)] = data
        self._seal(place, block)
        first = self._items[0][0] if self._items else (0, 0, 0)
        self._items, self._used = [], _HEADER
        self._point(0, first, place)

    def _point(self, level: int, key: Key, place: int) -> None:
        """Record a block of a level for the node above it."""
        if level == len(self._above):
            self._above.append([])
        if len(self._above[level]) == (NODE - _HEADER) // _POINTER:
            self._end_node(level)
        self._above[level].append((key, place))

    def _end_node(self, level: int) -> None:
        """Write the node above the recorded blocks of a level."""
        pointers = self._above[level]
        place = self._allocate(level + 1)
        block = self._header(place, level + 1, len(pointers))
        for index, (key, below) in enumerate(pointers):
            at = _HEADER + _POINTER * index
            struct.pack_into("<QBQQQ", block, at, *key, below, GENERATION)
        self._seal(place, block)
        self._above[level] = []
        self._point(level + 1, pointers[0][0], place)

    def _header(self, place: int, level: int, count: int) -> bytearray:
        block, own = bytearray(NODE), self._identity
        struct.pack_into("<16sQQ16s", block, 32, own.filesystem, place, _WRITTEN, own.chunks)
        struct.pack_into("<QQIB", block, 80, GENERATION, self._owner, count, level)
        return block

    def _seal(self, place: int, block: bytearray) -> None:
        struct.pack_into("<I", block, 0, checksum(memoryview(block)[32:]))
        self._write(place, bytes(block))
