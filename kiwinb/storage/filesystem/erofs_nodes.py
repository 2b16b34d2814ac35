"""Turn fifos into device nodes in an EROFS file system.

mkfs.erofs reads fifos in place of device nodes because an unprivileged build cannot make device
nodes. Their inodes and directory entries differ only in the type and the device numbers, so only
these are written, and a new checksum of the superblock.

Source of the format: the kernel's ``erofs_fs.h``.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from kiwinb.checkpoints.treescan import Entry
from kiwinb.storage.filesystem.libext2fs import crc32c
from kiwinb.storage.filesystem.presented import NODES

_SUPER = 1024
_HAS_CHECKSUM = 1
_TYPES = {"char": 3, "block": 4}
"""File types of directory entries."""

_INLINE = 2
"""Layout of an inode that its last, partial block follows."""


def write_nodes(image: Path, nodes: Mapping[bytes, Entry]) -> None:
    """Write the types and numbers of device nodes.

    Args:
        image: The file system.
        nodes: The device nodes, by path.
    """
    if not nodes:
        return
    with image.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        _Nodes(data).write(nodes)


class _Nodes:
    """The inodes of a file system.

    Args:
        data: The whole file system, writable.
    """

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._bits = data[_SUPER + 12]
        (self._root,) = struct.unpack_from("<H", data, _SUPER + 14)
        (meta,) = struct.unpack_from("<I", data, _SUPER + 40)
        self._meta: int = meta << self._bits

    def write(self, nodes: Mapping[bytes, Entry]) -> None:
        """See :func:`write_nodes`."""
        found: dict[bytes, dict[bytes, tuple[int, int]]] = {}
        for path, entry in nodes.items():
            parent, name = os.path.split(path)
            if parent not in found:
                found[parent] = self._names(parent)
            number, at = found[parent][name]
            inode = self._inode(number)
            assert entry.device is not None
            major, minor = entry.device
            numbers = (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)
            struct.pack_into("<H", self._data, inode + 4, NODES[entry.kind] | entry.mode)
            struct.pack_into("<I", self._data, inode + 16, numbers)
            self._data[at + 10] = _TYPES[entry.kind]
        self._sum()

    def _inode(self, number: int) -> int:
        return self._meta + 32 * number

    def _names(self, path: bytes) -> dict[bytes, tuple[int, int]]:
        """Return the inode and the offset of the entry for each name in a directory."""
        number = self._root
        for name in path.split(b"/") if path else ():
            number = dict(self._entries(number))[name][0]
        return dict(self._entries(number))

    def _entries(self, number: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
        for start, end in self._blocks(number):
            (first,) = struct.unpack_from("<H", self._data, start + 8)
            count = first // 12
            for index in range(count):
                at = start + 12 * index
                inode, name = struct.unpack_from("<QH", self._data, at)
                after = end
                if index + 1 < count:
                    (offset,) = struct.unpack_from("<H", self._data, at + 20)
                    after = start + offset
                yield self._data[start + name : after].split(b"\0")[0], (inode, at)

    def _blocks(self, number: int) -> Iterator[tuple[int, int]]:
        """Yield the start and end of each block of a directory, as byte offsets."""
        inode = self._inode(number)
        form, attributes = struct.unpack_from("<HH", self._data, inode)
        (size,) = struct.unpack_from("<Q" if form & 1 else "<I", self._data, inode + 8)
        (where,) = struct.unpack_from("<I", self._data, inode + 16)
        block = 1 << self._bits
        tail = size % block if form >> 1 & 7 == _INLINE else 0
        for offset in range(0, size - tail, block):
            start = (where << self._bits) + offset
            yield start, start + min(block, size - offset)
        if tail:
            length = 64 if form & 1 else 32
            start = inode + length + (12 + 4 * (attributes - 1) if attributes else 0)
            yield start, start + tail

    def _sum(self) -> None:
        (features,) = struct.unpack_from("<I", self._data, _SUPER + 8)
        if not features & _HAS_CHECKSUM:
            return
        struct.pack_into("<I", self._data, _SUPER + 4, 0)
        end = max(1 << self._bits, _SUPER + 512)
        struct.pack_into("<I", self._data, _SUPER + 4, crc32c(self._data[_SUPER:end]))
