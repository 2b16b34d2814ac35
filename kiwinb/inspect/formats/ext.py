"""Read ext2, ext3 and ext4 file systems.

Changes that are still only in the journal are ignored.

Source of the format: the kernel's documentation "ext4 Data Structures and Algorithms".
"""

from __future__ import annotations

import stat
import struct
import uuid
from collections.abc import Hashable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

from kiwinb.inspect.formats.indexed import Facts, InodeTree, Volume
from kiwinb.inspect.formats.window import DamagedError, UnsupportedError, Window
from kiwinb.inspect.tree import Hole

_SUPERBLOCK = 1024
_MAGIC = b"\x53\xef"
_ROOT = 2

_HAS_JOURNAL, _SPARSE_SUPER2 = 0x4, 0x200
_JOURNAL_DEVICE, _META_BG, _EXTENTS, _64_BIT, _FLEX, _INLINE = 0x8, 0x10, 0x40, 0x80, 0x200, 0x8000
_KNOWN = 0x2 | 0x4 | _META_BG | _EXTENTS | _64_BIT | 0x100 | _FLEX | 0x400 | 0x2000 | 0x4000
_KNOWN |= _INLINE | 0x10000 | 0x20000 | 0x40  # also encrypted and case-insensitive directories
_HUGE_FILE = 0x8

_IS_ENCRYPTED, _IS_HUGE, _HAS_EXTENTS, _IS_INLINE = 0x800, 0x40000, 0x80000, 0x10000000
_EXTENT_MAGIC = 0xF30A
_ATTRIBUTE_MAGIC = 0xEA020000
_SYSTEM = 7

_INODE = struct.Struct("<HHIIIIIHHIII60sIIII")


class Run(NamedTuple):
    """Contiguous blocks of a file.

    Attributes:
        first: Number of the first block within the file.
        length: Number of blocks.
        block: Number of the first block in the file system; 0 for a hole.
    """

    first: int
    length: int
    block: int


class ExtTree(InodeTree):
    """An ext2, ext3 or ext4 file system."""

    what = "an ext2, ext3 or ext4 file system"

    def __init__(self, window: Window, name: str) -> None:
        super().__init__(name)
        self._window = window
        self._super = super_ = window.read(_SUPERBLOCK, 1024)
        (log_size,) = struct.unpack_from("<I", super_, 0x18)
        if log_size > 6:
            raise DamagedError(f"a block size of 2^{log_size + 10} bytes")
        self._block = 1024 << log_size
        self._first, self._group_blocks = struct.unpack_from("<I8xI", super_, 0x14)
        (self._group_inodes,) = struct.unpack_from("<I", super_, 0x28)
        (self._inodes,) = struct.unpack_from("<I", super_, 0)
        (revision,) = struct.unpack_from("<I", super_, 0x4C)
        features = struct.unpack_from("<III", super_, 0x5C)
        self._compatible, self._incompatible, self._read_only = features if revision else (0, 0, 0)
        (self._inode_size,) = struct.unpack_from("<H", super_, 0x58) if revision else (128,)
        if self._inode_size < 128 or self._inode_size > self._block:
            raise DamagedError(f"an inode size of {self._inode_size} bytes")
        if not self._group_inodes or not self._group_blocks:
            raise DamagedError("block groups without blocks or inodes")
        if self._incompatible & _JOURNAL_DEVICE:
            raise UnsupportedError("it holds only a journal", "Open the file system it belongs to.")
        if self._incompatible & ~_KNOWN:
            raise UnsupportedError(
                f"it has unknown features ({self._incompatible & ~_KNOWN:#x})",
                "See what they are: dumpe2fs -h",
            )
        self._tables: dict[int, tuple[int, bytes]] = {}

    @staticmethod
    def probe(window: Window) -> bool:
        """Tell whether the content looks like this format."""
        return window.peek(_SUPERBLOCK + 0x38, 2) == _MAGIC

    @cached_property
    def _blocks(self) -> int:
        low, _, _free = struct.unpack_from("<III", self._super, 4)
        high, _, _ = struct.unpack_from("<III", self._super, 0x150)
        return int(low) | (int(high) << 32 if self._incompatible & _64_BIT else 0)

    @property
    def volume(self) -> Volume:
        """The file system as a whole."""
        (free,) = struct.unpack_from("<I", self._super, 12)
        if self._incompatible & _64_BIT:
            free |= struct.unpack_from("<I", self._super, 0x158)[0] << 32
        newer = self._incompatible & (_EXTENTS | _64_BIT | _FLEX)
        kind = "ext4" if newer else "ext3" if self._compatible & _HAS_JOURNAL else "ext2"
        label = self._super[0x78:0x88].split(b"\0")[0]
        return Volume(
            kind,
            label.decode("utf-8", "replace"),
            str(uuid.UUID(bytes=self._super[0x68:0x78])),
            self._blocks * self._block,
            (self._blocks - free) * self._block,
        )

    # --- inodes ---

    @cached_property
    def _descriptor_size(self) -> int:
        (size,) = struct.unpack_from("<H", self._super, 0xFE)
        if not self._incompatible & _64_BIT:
            return 32
        if size < 64 or size > 1024:
            raise DamagedError(f"group descriptors of {size} bytes")
        return int(size)

    def _inode_table(self, group: int) -> int:
        """Return the byte offset of the inodes of a block group."""
        size = self._descriptor_size
        per_block = self._block // size
        # With clusters, block 0 belongs to the first group even if the superblock is in block 1.
        block = _SUPERBLOCK // self._block + 1 + group // per_block
        if self._incompatible & _META_BG:
            (first_meta,) = struct.unpack_from("<I", self._super, 0x104)
            if group // per_block >= first_meta and group >= per_block:
                start = group // per_block * per_block
                block = self._first + start * self._group_blocks + self._has_backup(start)
        descriptor = self._window.read(block * self._block + group % per_block * size, size)
        (table,) = struct.unpack_from("<I", descriptor, 8)
        if size >= 64:
            table |= struct.unpack_from("<I", descriptor, 0x28)[0] << 32
        return int(table * self._block)

    def _has_backup(self, group: int) -> int:
        """Return 1 if a group begins with a copy of the superblock, otherwise 0."""
        if self._compatible & _SPARSE_SUPER2:
            return int(group == 0 or group in struct.unpack_from("<II", self._super, 0x24C))
        if not self._read_only & 1 or group <= 1:
            return 1
        for base in (3, 5, 7):
            power = base
            while power < group:
                power *= base
            if power == group:
                return 1
        return 0

    def _inode(self, number: int) -> bytes:
        if not 0 < number <= self._inodes:
            raise DamagedError(f"there is no inode {number}")
        group, index = divmod(number - 1, self._group_inodes)
        step = 65536 // self._inode_size  # number of inodes that are read together
        chunk = (number - 1) // self._group_inodes, index // step
        key = chunk[0] << 32 | chunk[1]
        found = self._tables.get(key)
        if found is None:
            if len(self._tables) > 512:
                self._tables.clear()
            start = chunk[1] * step
            count = min(step, self._group_inodes - start)
            at = self._inode_table(group) + start * self._inode_size
            found = start, self._window.read(at, count * self._inode_size)
            self._tables[key] = found
        begin = (index - found[0]) * self._inode_size
        return found[1][begin : begin + self._inode_size]

    @property
    def _root(self) -> Hashable:
        return _ROOT

    def _facts(self, place: Any) -> Facts:
        inode = self._inode(place)
        mode, uid, size, _a, _c, mtime, _d, gid, links, blocks, flags, _o, data = (
            _INODE.unpack_from(inode)[:13]
        )
        (size_high,) = struct.unpack_from("<I", inode, 108)
        blocks_high, _, uid_high, gid_high = struct.unpack_from("<HHHH", inode, 116)
        if not mode or not links:
            raise DamagedError(f"the inode {place} is not in use, but has a name")
        if mtime >= 1 << 31:
            mtime -= 1 << 32
        if self._inode_size > 128 and struct.unpack_from("<H", inode, 128)[0] >= 12:
            mtime += (struct.unpack_from("<I", inode, 0x88)[0] & 3) << 32
        if self._read_only & _HUGE_FILE:
            blocks |= blocks_high << 32
        unit = self._block if flags & _IS_HUGE and self._read_only & _HUGE_FILE else 512
        size |= size_high << 32
        allocated = blocks * unit
        if flags & _IS_INLINE and stat.S_ISREG(mode):
            allocated += -(-size // 512) * 512  # as the kernel counts it
        target = b""
        if stat.S_ISLNK(mode):
            target = data[:size] if size < 60 else self._content(place, inode, size, 4096)
            if flags & _IS_ENCRYPTED:
                target = b""
        return Facts(
            mode,
            uid | uid_high << 16,
            gid | gid_high << 16,
            links,
            size,
            allocated,
            place,
            mtime,
            target,
        )

    # --- contents ---

    def _content(self, number: int, inode: bytes, size: int, most: int) -> bytes:
        """Read the whole content of an inode, of at most ``most`` bytes."""
        if size > most:
            raise DamagedError(f"the inode {number} says that it is {size} bytes long")
        found = b"".join(
            bytes(piece) if isinstance(piece, Hole) else piece
            for piece in self._stored(inode, size)
        )
        return found[:size]

    def _pieces(self, place: Any, size: int) -> Iterator[bytes | Hole]:
        inode = self._inode(place)
        (flags,) = struct.unpack_from("<I", inode, 32)
        if flags & _IS_ENCRYPTED:
            raise UnsupportedError(
                f"the inode {place} is encrypted", "Only the key's owner can read it, mounted."
            )
        return self._stored(inode, size)

    def _stored(self, inode: bytes, size: int) -> Iterator[bytes | Hole]:
        (flags,) = struct.unpack_from("<I", inode, 32)
        if flags & _IS_INLINE:
            data = self._inline(inode)[:size]
            yield data
            if size > len(data):
                yield Hole(size - len(data))
            return
        at, block = 0, self._block
        runs = self._extents(inode) if flags & _HAS_EXTENTS else self._mapped(inode, size)
        for run in runs:
            start = run.first * block
            if start >= size:
                break
            if start < at:
                raise DamagedError("extents of a file overlap")
            if start > at:
                yield Hole(start - at)
            length = min(run.length * block, size - start)
            if run.block:
                yield from self._window.pieces(run.block * block, length)
            else:
                yield Hole(length)
            at = start + length
        if at < size:
            yield Hole(size - at)

    def _extents(self, inode: bytes) -> Iterator[Run]:
        budget = [self._window.size // self._block + 4]  # upper bound of the number of nodes

        def walk(node: bytes, depth: int | None) -> Iterator[Run]:
            magic, count, _most, level = struct.unpack_from("<HHHH", node)
            if magic != _EXTENT_MAGIC or level > 5 or (depth is not None and level != depth):
                raise DamagedError("a node of the extents of a file is invalid")
            if 12 + 12 * count > len(node):
                raise DamagedError("a node of the extents of a file is too full")
            for number in range(count):
                at = 12 + 12 * number
                if level:
                    low, high = struct.unpack_from("<IH", node, at + 4)
                    budget[0] -= 1
                    if budget[0] < 0:
                        raise DamagedError("the extents of a file go round in a circle")
                    below = self._window.read((low | high << 32) * self._block, self._block)
                    yield from walk(below, level - 1)
                else:
                    first, length, high, low = struct.unpack_from("<IHHI", node, at)
                    unwritten = length > 32768
                    block = 0 if unwritten else low | high << 32
                    yield Run(first, length - 32768 if unwritten else length, block)

        return walk(inode[40:100], None)

    def _mapped(self, inode: bytes, size: int) -> Iterator[Run]:
        """Yield the blocks in an inode's block map, contiguous blocks joined."""
        pointers = struct.unpack_from("<15I", inode, 40)
        width = self._block // 4
        last = -(-size // self._block)
        budget = [self._window.size // self._block + 4]

        def walk(block: int, level: int, first: int) -> Iterator[Run]:
            reach = width**level
            if first >= last or not block:
                return
            if level == 0:
                yield Run(first, 1, block)
                return
            budget[0] -= 1
            if budget[0] < 0:
                raise DamagedError("the blocks of a file go round in a circle")
            inner = struct.unpack(f"<{width}I", self._window.read(block * self._block, self._block))
            for number, pointer in enumerate(inner):
                if pointer:
                    yield from walk(pointer, level - 1, first + number * (reach // width))

        def single() -> Iterator[Run]:
            for number in range(12):
                yield from walk(pointers[number], 0, number)
            first = 12
            for level in (1, 2, 3):
                yield from walk(pointers[11 + level], level, first)
                first += width**level

        run: Run | None = None
        for one in single():
            if run and run.first + run.length == one.first and run.block + run.length == one.block:
                run = Run(run.first, run.length + 1, run.block)
            else:
                if run:
                    yield run
                run = one
        if run:
            yield run

    def _inline(self, inode: bytes) -> bytes:
        """Read content in the inode itself: 60 bytes, and the rest in an attribute."""
        found = inode[40:100]
        (extra,) = struct.unpack_from("<H", inode, 128)
        start = 128 + extra
        if struct.unpack_from("<I", inode, start)[0] != _ATTRIBUTE_MAGIC:
            return found
        at = first = start + 4
        while at + 16 <= len(inode) and inode[at : at + 4] != bytes(4):
            length, index, offset, _inode, size = struct.unpack_from("<BBHII", inode, at)
            if index == _SYSTEM and inode[at + 16 : at + 16 + length] == b"data":
                return found + inode[first + offset : first + offset + size]
            at += 16 + (length + 3 & ~3)
        return found

    # --- directories ---

    def _names(self, place: Any) -> Iterator[tuple[bytes, Hashable]]:
        inode = self._inode(place)
        low, flags = struct.unpack_from("<I24xI", inode, 4)
        (high,) = struct.unpack_from("<I", inode, 108)
        if flags & _IS_INLINE:
            data = self._inline(inode)
            yield from self._entries(data[4:60])
            yield from self._entries(data[60:])
            return
        size = low | high << 32
        data = self._content(place, inode, size, self._window.size)
        for start in range(0, size, self._block):
            yield from self._entries(data[start : start + self._block])

    def _entries(self, block: bytes) -> Iterator[tuple[bytes, int]]:
        """Yield the entries of a block; nodes of an index look like an empty entry."""
        at, end = 0, len(block)
        while at + 8 <= end:
            # Without types of files, the next byte is 0, or marks a checksum in an empty entry.
            inode, length, name_length = struct.unpack_from("<IHB", block, at)
            if end == 65536 and length in (0, 65535):
                length = 65536
            if length < 8 or at + length > end or name_length + 8 > length:
                raise DamagedError("a block of a directory is invalid")
            name = block[at + 8 : at + 8 + name_length]
            if inode and name not in (b".", b".."):
                yield name, inode
            at += length

    def close(self) -> None:
        """Close the file."""
        self._window.close()
