"""Read squashfs 4.0 file systems.

``allocated`` is the size of a file in the image: its compressed blocks, and its share of a block
that also holds the ends of other files.

Sources of the format: the kernel's ``squashfs_fs.h`` and the "Squashfs Binary Format" description.
"""

from __future__ import annotations

import stat
import struct
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

from kiwinb.inspect.formats import decompress
from kiwinb.inspect.formats.indexed import Facts, InodeTree, Rows, Volume
from kiwinb.inspect.formats.window import DamagedError, UnsupportedError, Window
from kiwinb.inspect.tree import Hole

_METHODS = {1: "zlib", 2: "lzma", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}
_SUPER = struct.Struct("<4sIIIIHHHHHHQQQQQQQQ")
_NONE = 0xFFFFFFFF
_METADATA = 8192
_UNCOMPRESSED = 1 << 24
_TYPES = {
    1: stat.S_IFDIR,
    2: stat.S_IFREG,
    3: stat.S_IFLNK,
    4: stat.S_IFBLK,
    5: stat.S_IFCHR,
    6: stat.S_IFIFO,
    7: stat.S_IFSOCK,
}
_KEPT = 4096  # metadata blocks


class _Blocks(NamedTuple):
    """Place of the content of a file.

    Attributes:
        start: Offset of its first block.
        fragment: Number of the fragment block that holds its end.
        offset: Offset of its end in that block.
        table: Offset of its block sizes in the inode, and their number.
        size: Size of the file in bytes.
    """

    start: int
    fragment: int
    offset: int
    table: tuple[int, int]
    size: int


class SquashfsTree(InodeTree):
    """A squashfs file system."""

    what = "a squashfs file system"

    def __init__(self, window: Window, name: str) -> None:
        super().__init__(name)
        self._window = window
        found = _SUPER.unpack(window.read(0, 96))
        (_magic, self._count, _time, self._block, self._fragments, method, log, _flags, ids) = (
            found[:9]
        )
        major, minor, root, self._used, id_table = found[9:14]
        self._inodes_at, self._directories_at, self._fragments_at = found[15:18]
        if major != 4:
            raise UnsupportedError(
                f"its version is {major}.{minor}", "Unpack it with a matching unsquashfs."
            )
        if self._block != 1 << log or not 4096 <= self._block <= 1 << 20:
            raise DamagedError(f"a block size of {self._block} bytes")
        self._method = _METHODS.get(method, f"method {method}")
        self._root_place = (root >> 16, root & 0xFFFF)
        self._metadata: dict[int, tuple[bytes, int]] = {}
        self._id_blocks = window.read(id_table, -(-ids * 4 // _METADATA) * 8)
        self._tails: dict[int, dict[int, int]] = {}
        self._data: OrderedDict[int, bytes] = OrderedDict()

    @staticmethod
    def probe(window: Window) -> bool:
        """Tell whether the content looks like this format."""
        return window.peek(0, 4) in (b"hsqs", b"sqsh")

    @property
    def volume(self) -> Volume:
        """The file system as a whole."""
        return Volume("squashfs", "", "", self._used, self._used)

    # --- metadata ---

    def _metadata_block(self, at: int) -> tuple[bytes, int]:
        """Return a block of metadata, and the offset of the next one."""
        found = self._metadata.get(at)
        if found is None:
            (header,) = struct.unpack("<H", self._window.read(at, 2))
            size = header & 0x7FFF
            if not size or size > _METADATA:
                raise DamagedError("a block of metadata has an impossible size")
            data = self._window.read(at + 2, size)
            if not header & 0x8000:
                data = decompress.block(self._method, data, _METADATA)
            found = data, at + 2 + size
            if len(self._metadata) >= _KEPT:
                self._metadata.clear()
            self._metadata[at] = found
        return found

    def _read(self, at: int, offset: int, size: int) -> bytes:
        """Read bytes of metadata, from as many blocks as necessary."""
        data, following = self._metadata_block(at)
        found = data[offset : offset + size]
        while len(found) < size:
            if len(data) < _METADATA:
                raise DamagedError("metadata end early")
            data, following = self._metadata_block(following)
            found += data[: size - len(found)]
        return found

    @cached_property
    def _owners(self) -> tuple[int, ...]:
        found: list[int] = []
        for (at,) in struct.iter_unpack("<Q", self._id_blocks):
            data = self._metadata_block(at)[0]
            found += struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])
        return tuple(found)

    @cached_property
    def _fragment_table(self) -> tuple[tuple[int, int], ...]:
        """Offset and size field of each fragment block."""
        if not self._fragments:
            return ()
        blocks = -(-self._fragments * 16 // _METADATA)
        found: list[tuple[int, int]] = []
        for (at,) in struct.iter_unpack("<Q", self._window.read(self._fragments_at, blocks * 8)):
            data = self._metadata_block(at)[0]
            found += ((s, z) for s, z in struct.iter_unpack("<QI4x", data[: len(data) // 16 * 16]))
        return tuple(found)

    # --- inodes ---

    @property
    def _root(self) -> Hashable:
        return self._root_place

    def _inode(self, place: tuple[int, int], size: int) -> bytes:
        return self._read(self._inodes_at + place[0], place[1], size)

    def _facts(self, place: Any) -> Facts:
        kind, mode, uid, gid, mtime, number = struct.unpack("<HHHHII", self._inode(place, 16))
        shape = kind - 7 if kind > 7 else kind
        if shape not in _TYPES:
            raise DamagedError(f"an inode has the unknown type {kind}")
        links, size, allocated, target = 1, 0, 0, b""
        if kind == 1:
            _at, links, size = struct.unpack("<IIH", self._inode(place, 26)[16:])
        elif kind == 8:
            links, size = struct.unpack("<II", self._inode(place, 24)[16:])
        elif shape == 2:
            blocks = self._blocks(place)
            size = blocks.size
            if kind == 9:
                (links,) = struct.unpack("<I", self._inode(place, 44)[40:])
            allocated = self._stored_size(blocks, place)
        else:
            (links,) = struct.unpack("<I", self._inode(place, 20)[16:])
            if shape == 3:
                (length,) = struct.unpack("<I", self._inode(place, 24)[20:])
                if length > 65536:
                    raise DamagedError("a symbolic link is too long")
                target = self._inode(place, 24 + length)[24:]
        return Facts(
            _TYPES[shape] | mode & 0o7777,
            self._owners[uid],
            self._owners[gid],
            links,
            size,
            allocated,
            number,
            mtime,
            target,
        )

    def _blocks(self, place: tuple[int, int]) -> _Blocks:
        (kind,) = struct.unpack("<H", self._inode(place, 2))
        if kind == 2:
            head = 32
            start, fragment, offset, size = struct.unpack("<IIII", self._inode(place, 32)[16:])
        else:
            head = 56
            start, size, _sparse, _links, fragment, offset, _x = struct.unpack(
                "<QQQIIII", self._inode(place, 56)[16:]
            )
        count = size // self._block if fragment != _NONE else -(-size // self._block)
        if count * 4 > self._window.size * 1024:
            raise DamagedError("a file has more blocks than there can be")
        return _Blocks(start, fragment, offset, (head, count), size)

    def _sizes(self, blocks: _Blocks, place: tuple[int, int]) -> tuple[int, ...]:
        head, count = blocks.table
        found = self._inode(place, head + 4 * count)[head:]
        return struct.unpack(f"<{count}I", found)

    def _stored_size(self, blocks: _Blocks, place: tuple[int, int]) -> int:
        size = sum(header & (_UNCOMPRESSED - 1) for header in self._sizes(blocks, place))
        if blocks.fragment != _NONE:
            tails = self._tails.setdefault(blocks.fragment, {})
            tails[blocks.offset] = blocks.size % self._block
        return size

    def _list(self, rows: Rows) -> None:
        super()._list(rows)
        total = {number: sum(tails.values()) for number, tails in self._tails.items()}
        for index, facts in enumerate(rows.facts):
            if not stat.S_ISREG(facts.mode):
                continue
            blocks = self._blocks(rows.place[index])
            if blocks.fragment != _NONE and total[blocks.fragment]:
                stored = self._fragment_table[blocks.fragment][1] & (_UNCOMPRESSED - 1)
                share = blocks.size % self._block / total[blocks.fragment]
                rows.facts[index] = facts._replace(
                    allocated=facts.allocated + round(stored * share)
                )

    # --- contents ---

    def _stored(self, at: int, header: int, most: int) -> bytes:
        size = header & (_UNCOMPRESSED - 1)
        if size > self._block:
            raise DamagedError("a block of data has an impossible size")
        data = self._window.read(at, size)
        return data if header & _UNCOMPRESSED else decompress.block(self._method, data, most)

    def _fragment(self, number: int) -> bytes:
        """Return a fragment block; the last few ones are cached."""
        found = self._data.get(number)
        if found is None:
            start, header = self._fragment_table[number]
            found = self._stored(start, header, self._block)
            while len(self._data) >= 8:
                self._data.popitem(last=False)
            self._data[number] = found
        return found

    def _pieces(self, place: Any, size: int) -> Iterator[bytes | Hole]:
        blocks = self._blocks(place)
        at, left = blocks.start, blocks.size
        for header in self._sizes(blocks, place):
            if size <= 0:
                return
            length = min(self._block, left)
            if header:
                data = self._stored(at, header, self._block)
                if len(data) != length:
                    raise DamagedError("a block of a file is too short")
                yield data
            else:
                yield Hole(length)
            at += header & (_UNCOMPRESSED - 1)
            left -= length
            size -= length
        if left and size > 0:
            data = self._fragment(blocks.fragment)[blocks.offset : blocks.offset + left]
            if len(data) != left:
                raise DamagedError("the end of a file is too short")
            yield data

    # --- directories ---

    def _names(self, place: Any) -> Iterator[tuple[bytes, Hashable]]:
        (kind,) = struct.unpack("<H", self._inode(place, 2))
        if kind == 1:
            at, _links, size, offset = struct.unpack("<IIHH", self._inode(place, 28)[16:])
        else:
            size, at, _parent, _count, offset = struct.unpack("<IIIHH", self._inode(place, 36)[20:])
        size -= 3
        if size > self._window.size * 1024:
            raise DamagedError("a directory is too large")
        if size <= 0:
            return
        data = self._read(self._directories_at + at, offset, size)
        position = 0
        while position < size:
            count, block, _number = struct.unpack_from("<III", data, position)
            position += 12
            if count >= 256:
                raise DamagedError("a directory has an impossible header")
            for _ in range(count + 1):
                inner, _difference, _type, length = struct.unpack_from("<HhHH", data, position)
                name = data[position + 8 : position + 9 + length]
                position += 9 + length
                yield name, (block, inner)

    def close(self) -> None:
        """Close the file."""
        self._window.close()
