"""Read XFS file systems, versions 4 and 5.

Changes that are still only in the log are ignored.

Source of the format: the book "XFS Algorithms & Data Structures". Numbers are big endian.
"""

from __future__ import annotations

import stat
import struct
import uuid
from collections.abc import Hashable, Iterator
from typing import Any, NamedTuple

from kiwinb.inspect.formats.indexed import Facts, InodeTree, Volume
from kiwinb.inspect.formats.window import DamagedError, UnsupportedError, Window
from kiwinb.inspect.tree import Hole

_LOCAL, _EXTENTS, _BTREE = 1, 2, 3
_BLOCK_MAGICS = {b"XD2B": 16, b"XD2D": 16, b"XDB3": 64, b"XDD3": 64}
_BTREE_MAGICS = {b"BMAP": 24, b"BMA3": 72}
_WHOLE = (b"XD2B", b"XDB3")  # the index of such a directory is in its only block
_INDEX_START = 32 << 30  # byte of a directory where its index starts
_LINK_HEADER = 56
_LONGEST_LINK = 1024
_EPOCH_OFFSET = 1 << 31
_BIG_TIME, _BIG_COUNT = 0x8, 0x10
_REAL_TIME = 0x1
_KNOWN = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80
_PREALLOCATED = 1 << 63


class _Extent(NamedTuple):
    """Contiguous blocks of a file.

    Attributes:
        offset: First block within the file.
        block: First block in the file system.
        length: Number of blocks.
        unwritten: Whether the blocks are allocated, but not written.
    """

    offset: int
    block: int
    length: int
    unwritten: bool


class XfsTree(InodeTree):
    """An XFS file system."""

    what = "an XFS file system"

    def __init__(self, window: Window, name: str) -> None:
        super().__init__(name)
        self._window = window
        self._super = head = window.read(0, 512)
        (self._block,) = struct.unpack_from(">I", head, 4)
        (self._root_inode,) = struct.unpack_from(">Q", head, 56)
        self._group_blocks, self._groups = struct.unpack_from(">II", head, 84)
        (version,) = struct.unpack_from(">H", head, 100)
        (self._inode_size,) = struct.unpack_from(">H", head, 104)
        self._per_block_log, self._group_log = head[123], head[124]
        self._directory_block = self._block << head[192]
        (features,) = struct.unpack_from(">I", head, 200)
        (incompatible,) = struct.unpack_from(">I", head, 216)
        self._five = version & 15 == 5
        if version & 15 not in (4, 5):
            raise UnsupportedError(f"its version is {version & 15}", "Use version 4 or 5.")
        if self._five and incompatible & ~_KNOWN:
            raise UnsupportedError(
                f"it has unknown features ({incompatible & ~_KNOWN:#x})",
                "See what they are: xfs_db -r -c version",
            )
        self._typed = bool(incompatible & 1 if self._five else features & 0x200)
        sizes_ok = 512 <= self._block <= 65536 and 256 <= self._inode_size <= 2048
        if not sizes_ok or self._directory_block > 65536 or not self._group_blocks:
            raise DamagedError("impossible sizes in its superblock")
        if self._per_block_log > 16 or self._group_log > 32:
            raise DamagedError("impossible sizes in its superblock")
        self._chunks: dict[int, bytes] = {}

    @staticmethod
    def probe(window: Window) -> bool:
        """Tell whether the content looks like this format."""
        return window.peek(0, 4) == b"XFSB"

    @property
    def volume(self) -> Volume:
        """The file system as a whole."""
        (blocks,) = struct.unpack_from(">Q", self._super, 8)
        (free,) = struct.unpack_from(">Q", self._super, 144)
        label = self._super[108:120].split(b"\0")[0].decode("utf-8", "replace")
        own = str(uuid.UUID(bytes=self._super[32:48]))
        return Volume("xfs", label, own, blocks * self._block, (blocks - free) * self._block)

    # --- inodes ---

    def _at(self, block: int) -> int:
        group = block >> self._group_log
        within = block & (1 << self._group_log) - 1
        if group >= self._groups or within >= self._group_blocks:
            raise DamagedError(f"there is no block {block}")
        return int((group * self._group_blocks + within) * self._block)

    def _inode(self, number: int) -> bytes:
        block, index = number >> self._per_block_log, number & (1 << self._per_block_log) - 1
        at = self._at(block) + index * self._inode_size
        chunk = at & ~65535
        data = self._chunks.get(chunk)
        if data is None:
            if len(self._chunks) > 512:
                self._chunks.clear()
            data = self._chunks[chunk] = self._window.peek(chunk, 65536)
        found = data[at - chunk : at - chunk + self._inode_size]
        if found[:2] != b"IN" or len(found) < self._inode_size:
            raise DamagedError(f"the inode {number} is invalid")
        return found

    @property
    def _root(self) -> Hashable:
        return int(self._root_inode)

    def _facts(self, place: Any) -> Facts:
        inode = self._inode(place)
        (mode,) = struct.unpack_from(">H", inode, 2)
        old_links, uid, gid, links = struct.unpack_from(">HIII", inode, 6)
        size, blocks = struct.unpack_from(">QQ", inode, 56)
        if inode[4] == 1:
            links = old_links
        if not mode or not links:
            raise DamagedError(f"the inode {place} is not in use, but has a name")
        if self._wide(inode) & _BIG_TIME:
            (stamp,) = struct.unpack_from(">Q", inode, 40)
            mtime = stamp // 10**9 - _EPOCH_OFFSET
        else:
            (mtime,) = struct.unpack_from(">i", inode, 40)
        target = self._target(place, inode, size) if stat.S_ISLNK(mode) else b""
        return Facts(mode, uid, gid, links, size, blocks * self._block, place, mtime, target)

    @staticmethod
    def _wide(inode: bytes) -> int:
        """Return the additional flags of inodes of version 3."""
        return int(struct.unpack_from(">Q", inode, 120)[0]) if inode[4] >= 3 else 0

    @staticmethod
    def _core(inode: bytes) -> int:
        """Return the offset of the data fork."""
        return 176 if inode[4] >= 3 else 100

    def _fork(self, inode: bytes) -> bytes:
        core = self._core(inode)
        return inode[core : core + inode[82] * 8] if inode[82] else inode[core:]

    def _target(self, number: int, inode: bytes, size: int) -> bytes:
        if size > _LONGEST_LINK:
            raise DamagedError(f"the symbolic link {number} is too long")
        if inode[5] == _LOCAL:
            return self._fork(inode)[:size]
        found = b""
        for extent in self._extents(inode):
            data = self._window.read(self._at(extent.block), extent.length * self._block)
            for start in range(0, len(data), self._block):
                block = data[start : start + self._block]
                found += block[_LINK_HEADER:] if block[:4] == b"XSLM" else block
        return found[:size]

    # --- extents ---

    def _extents(self, inode: bytes) -> Iterator[_Extent]:
        fork = self._fork(inode)
        if inode[5] == _EXTENTS:
            (count,) = struct.unpack_from(">I", inode, 76)
            if self._wide(inode) & _BIG_COUNT:
                (count,) = struct.unpack_from(">Q", inode, 24)
            if count * 16 > len(fork):
                raise DamagedError("an inode has more extents than room")
            yield from _unpack(fork, 0, count)
        elif inode[5] == _BTREE:
            level, count = struct.unpack_from(">HH", fork)
            most = (len(fork) - 4) // 16
            budget = [self._window.size // self._block + 1]
            if count > most or level > 16:
                raise DamagedError("the root of a B-tree is invalid")
            for pointer in struct.unpack_from(f">{count}Q", fork, 4 + most * 8):
                yield from self._btree(pointer, level - 1, budget)
        elif inode[5] != _LOCAL:
            raise DamagedError("an inode has an unknown form")

    def _btree(self, block: int, level: int, budget: list[int]) -> Iterator[_Extent]:
        budget[0] -= 1
        data = self._window.read(self._at(block), self._block)
        header = _BTREE_MAGICS.get(data[:4])
        found, count = struct.unpack_from(">HH", data, 4)
        if header is None or found != level or budget[0] < 0:
            raise DamagedError("a block of a B-tree is invalid")
        most = (self._block - header) // 16
        if count > most:
            raise DamagedError("a block of a B-tree is too full")
        if level == 0:
            yield from _unpack(data, header, count)
            return
        for pointer in struct.unpack_from(f">{count}Q", data, header + most * 8):
            yield from self._btree(pointer, level - 1, budget)

    def _pieces(self, place: Any, size: int) -> Iterator[bytes | Hole]:
        inode = self._inode(place)
        if struct.unpack_from(">H", inode, 90)[0] & _REAL_TIME:
            raise UnsupportedError("a file is in its real-time part", "Mount it to read that.")
        if inode[5] == _LOCAL:
            yield self._fork(inode)[:size]
            return
        at = 0
        for extent in self._extents(inode):
            start = extent.offset * self._block
            if start >= size:
                break
            if start < at:
                raise DamagedError("extents of a file overlap")
            if start > at:
                yield Hole(start - at)
            length = min(extent.length * self._block, size - start)
            if extent.unwritten:
                yield Hole(length)
            else:
                yield from self._window.pieces(self._at(extent.block), length)
            at = start + length
        if at < size:
            yield Hole(size - at)

    # --- directories ---

    def _names(self, place: Any) -> Iterator[tuple[bytes, Hashable]]:
        inode = self._inode(place)
        if inode[5] == _LOCAL:
            yield from self._short(self._fork(inode))
            return
        step = self._directory_block // self._block
        for extent in self._extents(inode):
            for index in range(0, extent.length, step):
                if (extent.offset + index) * self._block >= _INDEX_START:
                    return
                at = self._at(extent.block + index)
                yield from self._entries(self._window.read(at, self._directory_block))

    def _short(self, fork: bytes) -> Iterator[tuple[bytes, int]]:
        size = 8 if fork[1] else 4
        at = 2 + size
        for _ in range(fork[0]):
            length = fork[at]
            name = fork[at + 3 : at + 3 + length]
            at += 3 + length + self._typed
            yield name, int.from_bytes(fork[at : at + size], "big")
            at += size

    def _entries(self, block: bytes) -> Iterator[tuple[bytes, int]]:
        magic = block[:4]
        at = _BLOCK_MAGICS.get(magic)
        if at is None:
            raise DamagedError("a block of a directory is invalid")
        end = len(block)
        if magic in _WHOLE:
            (leaves,) = struct.unpack_from(">I", block, end - 8)
            end -= 8 + 8 * leaves
        while at < end:
            if block[at : at + 2] == b"\xff\xff":
                (length,) = struct.unpack_from(">H", block, at + 2)
                if length < 8:
                    raise DamagedError("a block of a directory is invalid")
                at += length
                continue
            inode, length = struct.unpack_from(">QB", block, at)
            name = block[at + 9 : at + 9 + length]
            if name not in (b".", b".."):
                yield name, inode
            at += 9 + length + self._typed + 2 + 7 & ~7

    def close(self) -> None:
        """Close the file."""
        self._window.close()


def _unpack(data: bytes, at: int, count: int) -> Iterator[_Extent]:
    for high, low in struct.iter_unpack(">QQ", data[at : at + 16 * count]):
        yield _Extent(
            high >> 9 & (1 << 54) - 1,
            (high & 511) << 43 | low >> 21,
            low & (1 << 21) - 1,
            bool(high & _PREALLOCATED),
        )
