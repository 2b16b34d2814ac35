"""Read btrfs file systems on one device.

Changes in the log tree, after an interrupted ``fsync``, are ignored. Inode numbers of additional
subvolumes have the number of the subvolume in their upper bits.

Source of the format: the "On-disk Format" page of the btrfs documentation.
"""

from __future__ import annotations

import stat
import struct
import uuid
from bisect import bisect_right
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from kiwinb.errors import InspectError
from kiwinb.inspect.formats import decompress
from kiwinb.inspect.formats.indexed import Facts, InodeTree, Volume
from kiwinb.inspect.formats.window import DamagedError, UnsupportedError, Window, reading
from kiwinb.inspect.tree import Hole

_SUPER = 0x10000
_HEADER = 101
_KEY = struct.Struct("<QBQ")
_ITEM = struct.Struct("<QBQII")
_POINTER = struct.Struct("<QBQQQ")
_ROOT_BACKREF = 144
_INODE_ITEM, _DIR_ITEM, _DIR_INDEX, _EXTENT_DATA, _ROOT_ITEM, _CHUNK_ITEM = 1, 84, 96, 108, 132, 228
_TOP_TREE, _FIRST_INODE = 5, 256
_INLINE, _REGULAR, _PREALLOCATED = 0, 1, 2
_METHODS = {1: "zlib", 2: "lzo in segments", 3: "zstd"}
_STRIPED = 0x8 | 0x40 | 0x80 | 0x100
_MOST_IN_EXTENT = 128 << 20
_SUBVOLUME_BITS = 44

Key = tuple[int, int, int]


@dataclass
class _Contents:
    """Content of a subvolume, by inode.

    Attributes:
        inodes: Inode items.
        names: Names in directories, each with the key of its target.
        extents: Extent items, each with its offset in the file.
    """

    inodes: dict[int, bytes] = field(default_factory=dict)
    names: dict[int, list[tuple[bytes, Key]]] = field(default_factory=dict)
    extents: dict[int, list[tuple[int, bytes]]] = field(default_factory=dict)


class BtrfsTree(InodeTree):
    """A btrfs file system, or one of its subvolumes with the subvolumes inside it.

    Args:
        window: The file system.
        name: Name in messages.
        subvolume: Path of a subvolume from the top-level subvolume; the default subvolume if not
            given.
    """

    what = "a btrfs file system"

    def __init__(self, window: Window, name: str, subvolume: str | None = None) -> None:
        super().__init__(name)
        self._window = window
        self._super = head = window.read(_SUPER, 4096)
        self._sector, self._node = struct.unpack_from("<II", head, 0x90)
        if not 4096 <= self._node <= 65536 or not 512 <= self._sector <= 65536:
            raise DamagedError("impossible sizes in its superblock")
        (self._device,) = struct.unpack_from("<Q", head, 0xC9)
        self._starts: list[int] = []
        self._chunks: list[tuple[int, int, int]] = []
        self._parents: set[tuple[int, int]] = set()
        self._subvolumes: dict[int, _Contents] = {}
        self._blocks: dict[int, tuple[int, bytes]] = {}
        (size,) = struct.unpack_from("<I", head, 0xA0)
        if size > 2048:
            raise DamagedError("impossible sizes in its superblock")
        at = 0x32B
        while at < 0x32B + size:
            key = _KEY.unpack_from(head, at)
            (stripes,) = struct.unpack_from("<H", head, at + 17 + 44)
            self._chunk(key[2], head[at + 17 : at + 17 + 48 + 32 * stripes])
            at += 17 + 48 + 32 * stripes
        (chunk_root,) = struct.unpack_from("<Q", head, 0x58)
        for key, item in list(self._items(chunk_root)):
            if key[1] == _CHUNK_ITEM:
                self._chunk(key[2], item)
        self._path = subvolume

    @staticmethod
    def probe(window: Window) -> bool:
        """Tell whether the content looks like this format."""
        return window.peek(_SUPER + 0x40, 8) == b"_BHRfS_M"

    @property
    def volume(self) -> Volume:
        """The file system as a whole."""
        head = self._super
        total, used = struct.unpack_from("<QQ", head, 0x70)
        label = head[0x12B : 0x12B + 256].split(b"\0")[0].decode("utf-8", "replace")
        return Volume("btrfs", label, str(uuid.UUID(bytes=head[0x20:0x30])), total, used)

    def subvolume(self, path: str) -> BtrfsTree:
        """Open a subvolume by its path, as the mount option ``subvol=`` does.

        Raises:
            InspectError: There is no such subvolume.
        """
        with reading(self.name, self.what):
            found = BtrfsTree(self._window, self.name, path)
            _ = found._root
        return found

    # --- chunks and trees ---

    def _chunk(self, logical: int, item: bytes) -> None:
        length, _owner, _stripe, kind = struct.unpack_from("<QQQQ", item)
        (stripes,) = struct.unpack_from("<H", item, 44)
        for index in range(stripes):
            device, offset = struct.unpack_from("<QQ", item, 48 + 32 * index)
            if device == self._device:
                if kind & _STRIPED and stripes > 1:
                    break
                place = bisect_right(self._starts, logical)
                if not place or self._starts[place - 1] != logical:
                    self._starts.insert(place, logical)
                    self._chunks.insert(place, (logical, length, offset))
                return
        raise UnsupportedError(
            "it is spread over several devices", "Mount it as root with all of them attached."
        )

    def _physical(self, logical: int, size: int) -> int:
        place = bisect_right(self._starts, logical) - 1
        if place >= 0:
            start, length, offset = self._chunks[place]
            if logical + size <= start + length:
                return offset + logical - start
        raise DamagedError(f"the logical address {logical} is nowhere")

    def _items(self, root: int) -> Iterator[tuple[Key, bytes]]:
        """Yield all items of a tree, in the order of their keys."""
        budget = self._window.size // self._node + 1
        todo: list[tuple[int, int | None]] = [(root, None)]
        while todo:
            logical, expected = todo.pop()
            budget -= 1
            if budget < 0:
                raise DamagedError("one of its trees goes round in a circle")
            block = self._window.read(self._physical(logical, self._node), self._node)
            (here,) = struct.unpack_from("<Q", block, 48)
            (count,) = struct.unpack_from("<I", block, 96)
            level = block[100]
            if here != logical or level > 8 or (expected is not None and level != expected):
                raise DamagedError(f"the node at {logical} of a tree is invalid")
            if level:
                pointers = [
                    (_POINTER.unpack_from(block, _HEADER + 33 * index)[3], level - 1)
                    for index in range(count)
                ]
                todo += reversed(pointers)
                continue
            for index in range(count):
                a, kind, b, offset, size = _ITEM.unpack_from(block, _HEADER + 25 * index)
                start = _HEADER + offset
                if start + size > self._node:
                    raise DamagedError(f"the node at {logical} of a tree is invalid")
                yield (a, kind, b), block[start : start + size]

    @cached_property
    def _roots(self) -> dict[int, int]:
        """Addresses of the trees of subvolumes, by number; the number of the default one at 0."""
        (root,) = struct.unpack_from("<Q", self._super, 0x50)
        found: dict[int, int] = {}
        for key, item in self._items(root):
            if key[1] == _ROOT_BACKREF:
                self._parents.add((key[0], key[2]))
            elif key[1] == _ROOT_ITEM:
                (found[key[0]],) = struct.unpack_from("<Q", item, 176)
            elif key[:2] == (6, _DIR_ITEM):
                for name, target in _names_in(item):
                    if name == b"default":
                        found[0] = target[0]
        return found

    def _contents(self, subvolume: int) -> _Contents:
        found = self._subvolumes.get(subvolume)
        if found is None:
            if subvolume not in self._roots:
                raise DamagedError(f"there is no subvolume {subvolume}")
            found = _Contents()
            for (number, kind, offset), item in self._items(self._roots[subvolume]):
                if kind == _INODE_ITEM:
                    found.inodes[number] = item
                elif kind == _DIR_INDEX:
                    found.names.setdefault(number, []).extend(_names_in(item))
                elif kind == _EXTENT_DATA:
                    found.extents.setdefault(number, []).append((offset, item))
            self._subvolumes[subvolume] = found
        return found

    # --- the tree ---

    @cached_property
    def _top(self) -> tuple[int, int]:
        if self._path is None:
            return self._roots.get(0, _TOP_TREE), _FIRST_INODE
        at = (_TOP_TREE, _FIRST_INODE)
        for part in self._path.encode("utf-8", "surrogateescape").split(b"/"):
            if part:
                found = dict(self._names(at)).get(part)
                if found is None:
                    raise InspectError(
                        f"{self.name} has no subvolume {self._path}",
                        remedy="See which it has: btrfs subvolume list",
                    )
                at = found
        return at

    @property
    def _root(self) -> Hashable:
        return self._top

    def _names(self, place: Any) -> Iterator[tuple[bytes, tuple[int, int]]]:
        subvolume, number = place
        for name, (target, kind, _) in self._contents(subvolume).names.get(number, ()):
            if kind == _ROOT_ITEM:
                if target in self._roots and (target, subvolume) in self._parents:
                    yield name, (target, _FIRST_INODE)
                else:  # in a snapshot, an empty directory replaces a subvolume
                    yield name, (subvolume, -target)
            else:
                yield name, (subvolume, target)

    def _facts(self, place: Any) -> Facts:
        subvolume, number = place
        if number < 0:
            mode = stat.S_IFDIR | 0o555
            return Facts(mode, 0, 0, 1, 0, 0, _numbered(subvolume, number + (1 << 43)), 0)
        item = self._contents(subvolume).inodes.get(number)
        if item is None:
            raise DamagedError(f"there is no inode {number}")
        size, stored = struct.unpack_from("<QQ", item, 16)
        links, uid, gid, mode = struct.unpack_from("<IIII", item, 40)
        (mtime,) = struct.unpack_from("<q", item, 136)
        target = b""
        if stat.S_ISLNK(mode):
            if size > 4096:
                raise DamagedError("a symbolic link is too long")
            target = b"".join(p for p in self._pieces(place, size) if not isinstance(p, Hole))[
                :size
            ]
        if subvolume != self._top[0]:
            number = _numbered(subvolume, number)
        allocated = -(-stored // self._sector) * self._sector
        return Facts(mode, uid, gid, links, size, allocated, number, mtime, target)

    def _pieces(self, place: Any, size: int) -> Iterator[bytes | Hole]:
        subvolume, number = place
        at = 0
        for offset, item in self._contents(subvolume).extents.get(number, ()):
            if offset >= size:
                break
            if offset < at:
                raise DamagedError("extents of a file overlap")
            if offset > at:
                yield Hole(offset - at)
            ram, method, _encryption, _other, kind = struct.unpack_from("<8xQBBHB", item)
            if kind == _INLINE:
                data = item[21:]
                data = self._unpacked(data, method, ram) if method else data
                at = offset + len(data)
                yield data
                continue
            disk, stored, skip, length = struct.unpack_from("<QQQQ", item, 21)
            wanted = min(length, size - offset)
            at = offset + wanted
            if not disk or kind == _PREALLOCATED:
                yield Hole(wanted)
            elif method:
                if max(stored, ram) > _MOST_IN_EXTENT:
                    raise DamagedError("a compressed extent is too large")
                data = self._window.read(self._physical(disk, stored), stored)
                data = self._unpacked(data, method, ram)[skip : skip + wanted]
                if len(data) != wanted:
                    raise DamagedError("a compressed extent is too short")
                yield data
            else:
                yield from self._window.pieces(self._physical(disk + skip, wanted), wanted)
        if at < size:
            yield Hole(size - at)

    @staticmethod
    def _unpacked(data: bytes, method: int, size: int) -> bytes:
        if size > _MOST_IN_EXTENT:
            raise DamagedError("a compressed extent is too large")
        return decompress.block(_METHODS.get(method, f"method {method}"), data, size)

    def close(self) -> None:
        """Close the file."""
        self._window.close()


def _numbered(subvolume: int, number: int) -> int:
    return (number | subvolume << _SUBVOLUME_BITS) & (1 << 63) - 1


def _names_in(item: bytes) -> Iterator[tuple[bytes, Key]]:
    at = 0
    while at + 30 <= len(item):
        key: Key = _KEY.unpack_from(item, at)
        data, length = struct.unpack_from("<HH", item, at + 25)
        yield item[at + 30 : at + 30 + length], key
        at += 30 + length + data
