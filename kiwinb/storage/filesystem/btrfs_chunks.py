"""Divide the device of a new btrfs into chunks, and allocate bytes in them."""

from __future__ import annotations

from kiwinb.sizes import MIB
from kiwinb.storage.filesystem.btrfs_items import DATA, DUPLICATED, METADATA, SYSTEM, Chunk
from kiwinb.storage.filesystem.spec import FilesystemFull

SUPERBLOCKS = (64 << 10, 64 << 20, 256 << 30)
"""Offsets of the superblock and its copies on the device, in bytes."""

SUPERBLOCK_ROOM = 64 << 10
"""Number of bytes from the start of a superblock that no chunk may use."""

_SYSTEM_SIZE = 4 * MIB
_METADATA_SIZE = 32 * MIB
_MOST_DATA = 1 << 30


class Chunks:
    """The chunks of a device.

    Args:
        size: Size of the device in bytes.

    Attributes:
        all: All chunks, in the order of their addresses.
        current: By kind, the chunk in which :meth:`allocate` allocates.

    Raises:
        FilesystemFull: The device is too small; this holds for all methods that allocate space.
    """

    def __init__(self, size: int) -> None:
        self.all: list[Chunk] = []
        self.current: dict[int, Chunk] = {}
        self._size = size
        self._device_end = MIB
        self._add(SYSTEM, _SYSTEM_SIZE, _SYSTEM_SIZE)

    def allocate(self, kind: int, size: int) -> tuple[Chunk, int]:
        """Allocate bytes for a kind of data; return their chunk and their address."""
        chunk = self.current.get(kind)
        if chunk is None or chunk.used + size > chunk.size:
            chunk = self._add(kind, self._wanted(kind), size)
        address = chunk.address + chunk.used
        chunk.used += size
        return chunk, address

    def reserve(self, kind: int, size: int) -> None:
        """Make sure that the current chunk of a kind has room for bytes to allocate later."""
        chunk = self.current[kind]
        if chunk.used + size > chunk.size:
            self._add(kind, self._wanted(kind), size)

    def holding(self, address: int) -> Chunk:
        """Return the chunk that an allocated address is in."""
        return next(chunk for chunk in reversed(self.all) if chunk.address <= address)

    def _wanted(self, kind: int) -> int:
        """Return the size that a new chunk of a kind has if there is enough room."""
        if kind == METADATA:
            return _METADATA_SIZE
        return max(8 * MIB, min(_MOST_DATA, self._size // 10 // MIB * MIB))

    def _add(self, kind: int, wanted: int, least: int) -> Chunk:
        """Add a chunk; if there is no room for the wanted size, make it as small as allowed."""
        copies = 1 if kind == DATA else 2
        wanted = max(wanted, -(-least // MIB) * MIB)
        end, places = self._places(copies, wanted)
        if end > self._size:
            wanted = -(-least // MIB) * MIB
            end, places = self._places(copies, wanted)
            if end > self._size:
                raise FilesystemFull("the btrfs file system is too small for its content")
        self._device_end = end
        last = self.all[-1] if self.all else None
        address = last.address + last.size if last else MIB
        profile = DUPLICATED if copies == 2 else 0
        chunk = Chunk(address, wanted, kind | profile, places)
        self.all.append(chunk)
        self.current[kind] = chunk
        return chunk

    def _places(self, copies: int, size: int) -> tuple[int, tuple[int, ...]]:
        """Find places on the device for the copies of a chunk, avoiding the superblocks.

        Returns:
            The end of the last copy, and the start of each copy, in bytes.
        """
        end, places = self._device_end, list[int]()
        for _ in range(copies):
            for mirror in SUPERBLOCKS:
                if end < mirror + SUPERBLOCK_ROOM and mirror < end + size:
                    end = -(-(mirror + SUPERBLOCK_ROOM) // MIB) * MIB
            places.append(end)
            end += size
        return end, tuple(places)
