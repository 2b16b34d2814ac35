"""Read EROFS file systems, with erofs-utils for compressed files.

When the first compressed file is read, ``fsck.erofs --extract`` (from erofs-utils) unpacks all
files into the cache.

Sources of the format: the kernel's documentation "EROFS" and its ``erofs_fs.h``.
"""

from __future__ import annotations

import os
import stat
import struct
import tempfile
import uuid
from collections.abc import Hashable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from kiwinb.checkpoints.space import says_full
from kiwinb.errors import CommandError
from kiwinb.inspect.formats.directory import DirectoryTree
from kiwinb.inspect.formats.indexed import Facts, InodeTree, Volume
from kiwinb.inspect.formats.unpack import scratch_directory, scratch_space
from kiwinb.inspect.formats.window import DamagedError, UnsupportedError, Window
from kiwinb.inspect.tree import MOST_IN_MEMORY, Hole
from kiwinb.sandbox.command import run

_SUPER = 1024
_MAGIC = b"\xe2\xe1\xf5\xe0"
_PLAIN, _PACKED_FULL, _TAIL_INLINE, _PACKED, _CHUNKS = range(5)
_NOWHERE = 0xFFFFFFFF


class ErofsTree(InodeTree):
    """An EROFS file system."""

    what = "an EROFS file system"

    def __init__(self, window: Window, name: str) -> None:
        super().__init__(name)
        self._window = window
        self._super = head = window.read(_SUPER, 128)
        self._bits = head[12]
        if not 9 <= self._bits <= 16:
            raise DamagedError(f"blocks of 2^{self._bits} bytes")
        self._block = 1 << self._bits
        (self._root_number,) = struct.unpack_from("<H", head, 14)
        (self._time,) = struct.unpack_from("<Q", head, 24)
        (meta,) = struct.unpack_from("<I", head, 40)
        self._meta = meta << self._bits
        (devices,) = struct.unpack_from("<H", head, 86)
        if devices:
            raise UnsupportedError("its data are on further devices", "Mount it with all of them.")
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    @staticmethod
    def probe(window: Window) -> bool:
        """Tell whether the content looks like this format."""
        return window.peek(_SUPER, 4) == _MAGIC

    @property
    def volume(self) -> Volume:
        """The file system as a whole."""
        (blocks,) = struct.unpack_from("<I", self._super, 36)
        label = self._super[64:80].split(b"\0")[0].decode("utf-8", "replace")
        size = blocks << self._bits
        return Volume("erofs", label, str(uuid.UUID(bytes=self._super[48:64])), size, size)

    # --- inodes ---

    @property
    def _root(self) -> Hashable:
        return int(self._root_number)

    def _inode(self, number: int) -> tuple[bytes, int, int]:
        """Return an inode, its layout, and the offset after it and its attributes."""
        at = self._meta + 32 * number
        (form, attributes) = struct.unpack("<HH", self._window.read(at, 4))
        length = 64 if form & 1 else 32
        extra = 12 + 4 * (attributes - 1) if attributes else 0
        return self._window.read(at, length), form >> 1 & 7, at + length + extra

    def _facts(self, place: Any) -> Facts:
        inode, layout, _after = self._inode(place)
        if len(inode) == 64:
            mode, size, where, _number, uid, gid, mtime, links = struct.unpack_from(
                "<4xH2xQIIIIq4xI", inode
            )
        else:
            mode, links, size, where, _number, uid, gid = struct.unpack_from("<4xHHI4xIIHH", inode)
            mtime = self._time
        packed = layout in (_PACKED, _PACKED_FULL)
        full = size >> self._bits << self._bits if layout == _TAIL_INLINE else size
        allocated = where << self._bits if packed else -(-full // self._block) * self._block
        if layout == _TAIL_INLINE:
            allocated += size - full
        if layout == _CHUNKS or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            allocated = size if stat.S_ISREG(mode) else 0
        target = b""
        if stat.S_ISLNK(mode):
            if size > 4096:
                raise DamagedError("a symbolic link is too long")
            target = b"".join(p for p in self._plain(place) if not isinstance(p, Hole))
        return Facts(mode, uid, gid, links, size, allocated, place, mtime, target)

    # --- contents ---

    def _plain(self, number: int) -> Iterator[bytes | Hole]:
        """Yield content that is not compressed."""
        inode, layout, after = self._inode(number)
        (size,) = struct.unpack_from("<Q" if len(inode) == 64 else "<I", inode, 8)
        (where,) = struct.unpack_from("<I", inode, 16)
        if layout == _PLAIN:
            yield from self._window.pieces(where << self._bits, size) if size else ()
        elif layout == _TAIL_INLINE:
            full = size >> self._bits << self._bits
            if full:
                yield from self._window.pieces(where << self._bits, full)
            yield self._window.read(after, size - full)
        elif layout == _CHUNKS:
            yield from self._chunks(size, where, after)
        else:
            raise DamagedError(f"an inode has the unknown layout {layout}")

    def _chunks(self, size: int, form: int, after: int) -> Iterator[bytes | Hole]:
        step = 1 << (self._bits + (form & 31))
        width = 8 if form & 32 else 4
        after = -(-after // width) * width
        for index in range(-(-size // step)):
            entry = self._window.read(after + index * width, width)
            block = int.from_bytes(entry[-4:], "little")
            length = min(step, size - index * step)
            if block == _NOWHERE:
                yield Hole(length)
            else:
                yield from self._window.pieces(block << self._bits, length)

    def _pieces(self, place: Any, size: int) -> Iterator[bytes | Hole]:
        if self._inode(place)[1] not in (_PACKED, _PACKED_FULL):
            yield from self._plain(place)
            return
        path = self._paths[place]
        yield self._unpacked.read(path, min(size, MOST_IN_MEMORY))

    @cached_property
    def _paths(self) -> dict[Any, str]:
        return dict(zip(self._rows.place, self._rows.path, strict=True))

    @cached_property
    def _unpacked(self) -> DirectoryTree:
        """All files, unpacked by ``fsck.erofs``."""
        with scratch_space():
            self._scratch = tempfile.TemporaryDirectory(
                dir=scratch_directory(), ignore_cleanup_errors=os.geteuid() != 0
            )
            image = Path(self._scratch.name) / "image"
            with image.open("wb") as file:
                for piece in self._window.pieces(0, self._window.size):
                    file.write(piece)
            target = Path(self._scratch.name) / "tree"
            words = ["fsck.erofs", f"--extract={target}", "--no-preserve-owner", str(image)]
            lines: list[str] = []
            run(words, log=lines.append, check=False)  # it complains of files that it unpacks well
            if any(says_full(line) for line in lines):
                raise CommandError(words, 1, lines[-5:])
            image.unlink()
        if not target.is_dir():
            raise DamagedError("fsck.erofs cannot unpack it")
        return DirectoryTree(target, self.name)

    # --- directories ---

    def _names(self, place: Any) -> Iterator[tuple[bytes, Hashable]]:
        inode, _layout, _after = self._inode(place)
        (size,) = struct.unpack_from("<Q" if len(inode) == 64 else "<I", inode, 8)
        if size > self._window.size:
            raise DamagedError("a directory is larger than the image")
        data = b"".join(p for p in self._plain(place) if not isinstance(p, Hole))
        for start in range(0, size, self._block):
            block = data[start : min(start + self._block, size)]
            (first,) = struct.unpack_from("<H", block, 8)
            if not first or first % 12 or first > len(block):
                raise DamagedError("a block of a directory is invalid")
            count = first // 12
            for index in range(count):
                number, at = struct.unpack_from("<QH", block, 12 * index)
                end = len(block)
                if index + 1 < count:
                    (end,) = struct.unpack_from("<H", block, 12 * index + 20)
                name = block[at:end].split(b"\0")[0]
                if name not in (b".", b".."):
                    yield name, number

    def close(self) -> None:
        """Close the file, and remove unpacked files."""
        self._window.close()
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None
