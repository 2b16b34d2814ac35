"""Extended attributes of XFS (version 5).

A few short ones fit in the inode itself. More are in one block or, with an index, in several ones.
Long values have blocks of their own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kiwinb.storage.filesystem.xfs_directory import INDEX_LAYOUT, Part, name_hash
from kiwinb.storage.filesystem.xfs_geometry import BLOCK

_LEAF_HEADER = 80
_NODE_HEADER = 64
_MOST_LEAVES = (BLOCK - _NODE_HEADER) // 8
_VALUE_HEADER = 56
_VALUE_LAYOUT = (40, 16, 32, 12)
_LARGEST_LOCAL = BLOCK - BLOCK // 4
_LOCAL = 1
_REMOTE = 11  # 9 bytes before the name, and 2 that XFS counts too many
_NEVER_LOGGED = (1 << 64) - 1


@dataclass(frozen=True)
class Attribute:
    """An extended attribute in the form that XFS stores.

    Attributes:
        name: Name without the prefix.
        value: The value.
        space: Namespace: 0 for ``user.``, 2 for ``trusted.`` and ACLs, 4 for ``security.``.
    """

    name: bytes
    value: bytes
    space: int

    @property
    def is_local(self) -> bool:
        """Whether the value is in the same block as the name."""
        return self._local_size < _LARGEST_LOCAL

    @property
    def size(self) -> int:
        """Number of bytes that it takes in a block of names."""
        return self._local_size if self.is_local else -(-(_REMOTE + len(self.name)) // 4) * 4

    @property
    def value_blocks(self) -> int:
        """Number of blocks for the value alone."""
        return 0 if self.is_local else -(-len(self.value) // (BLOCK - _VALUE_HEADER))

    @property
    def _local_size(self) -> int:
        return -(-(3 + len(self.name) + len(self.value)) // 4) * 4


def short_attributes(attributes: Sequence[Attribute]) -> bytes | None:
    """Pack attributes for the inode itself; ``None`` if they do not fit in any inode."""
    if len(attributes) > 255 or any(len(item.value) > 255 for item in attributes):
        return None
    parts = [
        struct.pack(">BBB", len(item.name), len(item.value), item.space) + item.name + item.value
        for item in attributes
    ]
    size = 4 + sum(map(len, parts))
    if size > BLOCK:
        return None
    return struct.pack(">HBB", size, len(parts), 0) + b"".join(parts)


def attribute_parts(attributes: Sequence[Attribute]) -> list[Part] | None:
    """Build the blocks of attributes; ``None`` if there are too many for an index of one level."""
    items = sorted(attributes, key=lambda item: (name_hash(item.name), item.name))
    leaves = list(_leaves(items))
    if len(leaves) > _MOST_LEAVES:
        return None
    first = 1 if len(leaves) > 1 else 0
    value = first + len(leaves)
    parts, values, pointers = list[Part](), list[Part](), list[tuple[int, int]]()
    for index, leaf in enumerate(leaves, first):
        following = index + 1 if index + 1 < first + len(leaves) else 0
        previous = index - 1 if index > first else 0
        places = []
        for item in leaf:
            places.append(value)
            values += _value(item, value)
            value += item.value_blocks
        block = _leaf(leaf, places, following, previous)
        parts.append(Part(index, block, INDEX_LAYOUT))
        pointers.append((name_hash(leaf[-1].name), index))
    if first:
        parts.insert(0, Part(0, _node(pointers), INDEX_LAYOUT))
    return [*parts, *values]


def _leaves(items: Sequence[Attribute]) -> Iterator[list[Attribute]]:
    part, used = list[Attribute](), _LEAF_HEADER
    for item in items:
        if used + 8 + item.size > BLOCK:
            yield part
            part, used = [], _LEAF_HEADER
        part.append(item)
        used += 8 + item.size
    yield part


def _leaf(
    items: Sequence[Attribute], places: Sequence[int], following: int, previous: int
) -> bytes:
    block, top = bytearray(BLOCK), BLOCK
    base = _LEAF_HEADER + 8 * len(items)
    for index, (item, place) in enumerate(zip(items, places, strict=True)):
        top -= item.size
        if item.is_local:
            head = struct.pack(">HB", len(item.value), len(item.name)) + item.name + item.value
        else:
            head = struct.pack(">IIB", place, len(item.value), len(item.name)) + item.name
        block[top : top + len(head)] = head
        flags = item.space | (_LOCAL if item.is_local else 0)
        entry = _LEAF_HEADER + 8 * index
        struct.pack_into(">IHBB", block, entry, name_hash(item.name), top, flags, 0)
    struct.pack_into(">IIH", block, 0, following, previous, 0x3BEE)
    used = (len(items), BLOCK - top, top, 0, 0, base, top - base)
    struct.pack_into(">HHHBBHH", block, 56, *used)
    return bytes(block)


def _node(pointers: Sequence[tuple[int, int]]) -> bytes:
    block = bytearray(BLOCK)
    struct.pack_into(">IIH", block, 0, 0, 0, 0x3EBE)
    struct.pack_into(">HH", block, 56, len(pointers), 1)
    packed = b"".join(struct.pack(">II", *pointer) for pointer in pointers)
    block[_NODE_HEADER : _NODE_HEADER + len(packed)] = packed
    return bytes(block)


def _value(item: Attribute, place: int) -> Iterator[Part]:
    """Yield the blocks of a value."""
    room = BLOCK - _VALUE_HEADER
    for index in range(item.value_blocks):
        piece = item.value[index * room : (index + 1) * room]
        block = bytearray(BLOCK)
        struct.pack_into(">4sII", block, 0, b"XARM", index * room, len(piece))
        struct.pack_into(">Q", block, 48, _NEVER_LOGGED)
        block[_VALUE_HEADER : _VALUE_HEADER + len(piece)] = piece
        yield Part(place + index, bytes(block), _VALUE_LAYOUT)
