"""Directories of ext2, ext3 and ext4: their entries, and hash indexes of large directories.

libext2fs adds one name after another, and reads the whole directory each time. Here, all names of a
directory are known, so its blocks are built in their final form.

Source of the format: the kernel's documentation of ext4, "Directory Entries" and "Hash Tree
Directories".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_DIRECTORY = 2
_TAIL = 12
_ROOT_HEADER = 32
_NODE_HEADER = 8
_LONGEST_RECORD = 0xFFFF  # stands for 65536 bytes


class Name(NamedTuple):
    """An entry of a directory: its name, and the number and the type of its inode."""

    name: bytes
    inode: int
    type: int

    @property
    def size(self) -> int:
        """Smallest size of the entry in a block, in bytes."""
        return (8 + len(self.name) + 3) & ~3


@dataclass(frozen=True)
class Form:
    """How a file system stores directories.

    Attributes:
        block: Size of a block in bytes.
        checksums: Whether blocks of directories have checksums.
        types: Whether entries have the type of their inode.
        version: Number of the hash function in indexes; ``None`` if directories have no indexes.
        hash: Returns the hash of a name, and its second hash.
    """

    block: int
    checksums: bool
    types: bool
    version: int | None
    hash: Callable[[bytes], tuple[int, int]]

    @property
    def room(self) -> int:
        """Number of bytes for entries in a block."""
        return self.block - (_TAIL if self.checksums else 0)


def directory_blocks(
    names: Sequence[Name], own: int, parent: int, form: Form
) -> tuple[list[bytearray], bool]:
    """Build the blocks of a directory; their checksums are not set.

    Args:
        names: The entries, without ``.`` and ``..``.
        own: Inode of the directory.
        parent: Inode of its parent directory.
        form: How the file system stores directories.

    Returns:
        The blocks, and whether they have an index.
    """
    dots = [Name(b".", own, _DIRECTORY), Name(b"..", parent, _DIRECTORY)]
    linear = list(_filled((*dots, *names), form))
    if len(linear) == 1 or form.version is None:
        return [_leaf(part, form) for part in linear], False
    hashed = sorted((*form.hash(name.name), name) for name in names)
    leaves, starts = list[bytearray](), list[int]()
    last = None
    at = 0
    for part in _filled([name for *_, name in hashed], form):
        first = hashed[at][0]
        starts.append(first | (first == last))  # 1: the leaf before has names of this hash, too
        at += len(part)
        last = hashed[at - 1][0]
        leaves.append(_leaf(part, form))
    index = _index(starts, own, parent, form)
    if index is None:
        return [_leaf(part, form) for part in linear], False
    return [*index, *leaves], True


def empty_block(form: Form) -> bytearray:
    """Build a block of a directory without entries."""
    return _leaf([], form)


def _filled(names: Sequence[Name], form: Form) -> Iterator[list[Name]]:
    """Divide entries into as many as fit in each block."""
    part, used, room = list[Name](), 0, form.room
    for name in names:
        size = name.size
        if used + size > room:
            yield part
            part, used = [], 0
        part.append(name)
        used += size
    yield part


def _leaf(names: Sequence[Name], form: Form) -> bytearray:
    block, at, end = bytearray(form.block), 0, form.room
    if not names:
        struct.pack_into("<IHBB", block, 0, 0, min(end, _LONGEST_RECORD), 0, 0)
    for index, (name, inode, kind) in enumerate(names):
        size = (8 + len(name) + 3) & ~3 if index + 1 < len(names) else end - at
        record = min(size, _LONGEST_RECORD)
        struct.pack_into("<IHBB", block, at, inode, record, len(name), kind if form.types else 0)
        block[at + 8 : at + 8 + len(name)] = name
        at += size
    if form.checksums:
        struct.pack_into("<IHBB", block, end, 0, _TAIL, 0, 0xDE)
    return block


def _index(starts: Sequence[int], own: int, parent: int, form: Form) -> list[bytearray] | None:
    """Build the root of an index and the nodes below it; ``None`` if two levels are too few.

    Args:
        starts: First hash of each leaf.
        own: Inode of the directory.
        parent: Inode of its parent directory.
        form: How the file system stores directories.
    """
    tail = 8 if form.checksums else 0
    most_in_root = (form.block - _ROOT_HEADER - tail) // 8
    most = (form.block - _NODE_HEADER - tail) // 8
    parts = [starts[at : at + most] for at in range(0, len(starts), most)]
    if len(starts) <= most_in_root:
        parts = []
    elif len(parts) > most_in_root:
        return None
    assert form.version is not None
    root = bytearray(form.block)
    kind = _DIRECTORY if form.types else 0
    struct.pack_into("<IHBB2s", root, 0, own, 12, 1, kind, b".")
    struct.pack_into("<IHBB2s", root, 12, parent, form.block - 12, 2, kind, b"..")
    struct.pack_into("<IBBBB", root, 24, 0, form.version, 8, 1 if parts else 0, 0)
    first = 1 + len(parts)
    below = [(part[0], 1 + index) for index, part in enumerate(parts)]
    leaves = [(start, first + index) for index, start in enumerate(starts)]
    _point(root, _ROOT_HEADER, most_in_root, below or leaves)
    blocks = [root]
    for at in range(0, len(leaves) if parts else 0, most):
        node = bytearray(form.block)
        struct.pack_into("<IH", node, 0, 0, min(form.block, _LONGEST_RECORD))
        _point(node, _NODE_HEADER, most, leaves[at : at + most])
        blocks.append(node)
    return blocks


def _point(block: bytearray, at: int, most: int, below: Sequence[tuple[int, int]]) -> None:
    """Write pointers, as (first hash, block); the first one has limit and count for a hash."""
    struct.pack_into("<HHI", block, at, most, len(below), below[0][1])
    for index, pointer in enumerate(below[1:], 1):
        struct.pack_into("<II", block, at + 8 * index, *pointer)
