"""Bindings for the functions of libext2fs (from e2fsprogs) that fill a file system.

``mke2fs -d`` adds names in the order in which the host's file system lists them, and copies only
device nodes that exist on the host. The library has neither limitation. Functions, structures and
numbers come from its public header ``ext2fs.h``; its binary interface (``libext2fs.so.2``) is
stable.
"""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

from kiwinb.errors import HostError, ImageError

_READ_WRITE = 0x1
_64_BITS = 0x20000
_FILE_WRITE = 0x1
_SUPERBLOCK = 1024
_METADATA_CHECKSUMS = 0x400

ATTRIBUTES_TOO_LARGE = 2133571491
"""Error number: an inode has no room for its extended attributes."""

NO_SPACE = {2133571372, 2133571400, 2133571401, 28}


class Ext2Error(ImageError):
    """A function of libext2fs failed.

    Args:
        number: The error number.
        what: The function that failed.
    """

    def __init__(self, number: int, what: str) -> None:
        text = _messages()(number)
        super().__init__(f"{what}: {text.decode(errors='replace')}")
        self.number = number

    @property
    def no_space(self) -> bool:
        """Whether the file system is too small."""
        return self.number in NO_SPACE


@functools.cache
def library() -> ctypes.CDLL:
    """Load the library.

    Raises:
        HostError: The host does not have it.
    """
    try:
        return ctypes.CDLL("libext2fs.so.2")
    except OSError as error:
        raise HostError(
            "the library libext2fs.so.2 is missing", remedy="install the package e2fsprogs"
        ) from error


@functools.cache
def _messages() -> Callable[[int], bytes]:
    library().initialize_ext2_error_table()
    function = ctypes.CDLL("libcom_err.so.2").error_message
    function.argtypes = [ctypes.c_long]
    function.restype = ctypes.c_char_p
    return function


def crc32c(data: bytes | bytearray | memoryview, start: int = 0xFFFFFFFF) -> int:
    """Compute a CRC-32C (Castagnoli) without inverting the start value or the result."""
    function = library().ext2fs_crc32c_le
    function.restype = ctypes.c_uint32
    function.argtypes = [ctypes.c_uint32, ctypes.c_char_p, ctypes.c_size_t]
    return int(function(start, bytes(data), len(data)))


class OpenFilesystem:
    """An ext2, ext3 or ext4 file system in a file, open for writing.

    Args:
        image: The file.
        now: Time of the last write for the superblock, in seconds since 1970-01-01 UTC.

    Raises:
        Ext2Error: A function of the library failed; this holds for all methods.
        HostError: The host does not have the library.
    """

    def __init__(self, image: Path, now: int) -> None:
        self._image = image
        self._now = now
        self._library = library()
        self._handle = ctypes.c_void_p()
        manager = ctypes.c_void_p.in_dll(self._library, "unix_io_manager")
        self._call(
            "ext2fs_open",
            str(image).encode(),
            _READ_WRITE | _64_BITS,
            0,
            0,
            manager,
            ctypes.byref(self._handle),
            bound=False,
        )
        self._call("ext2fs_read_bitmaps")

    def __enter__(self) -> OpenFilesystem:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._call("ext2fs_close_free", ctypes.byref(self._handle), bound=False)
            self._stamp_superblock()
        else:
            self._library.ext2fs_free(self._handle)

    def _stamp_superblock(self) -> None:
        """Set the time of the last write to ``now``."""
        with self._image.open("r+b") as file:
            file.seek(_SUPERBLOCK)
            data = bytearray(file.read(1024))
            struct.pack_into("<I", data, 0x30, self._now & 0xFFFFFFFF)
            (read_only_features,) = struct.unpack_from("<I", data, 0x64)
            if read_only_features & _METADATA_CHECKSUMS:
                struct.pack_into("<I", data, 1020, crc32c(data[:1020]))
            file.seek(_SUPERBLOCK)
            file.write(data)

    def _call(self, name: str, *arguments: object, bound: bool = True) -> None:
        function = getattr(self._library, name)
        function.restype = ctypes.c_long
        number = function(*((self._handle,) if bound else ()), *arguments)
        if number:
            raise Ext2Error(number, name)

    def lookup(self, directory: int, name: bytes) -> int | None:
        """Return the inode of a name; ``None`` if there is none."""
        found = ctypes.c_uint32()
        try:
            self._call(
                "ext2fs_lookup",
                ctypes.c_uint32(directory),
                name,
                len(name),
                None,
                ctypes.byref(found),
            )
        except Ext2Error:
            return None
        return found.value

    def new_inode(self, directory: int, mode: int) -> int:
        """Find a free inode near a directory."""
        inode = ctypes.c_uint32()
        self._call("ext2fs_new_inode", ctypes.c_uint32(directory), mode, None, ctypes.byref(inode))
        return inode.value

    def use_inode(self, inode: int, *, directory: bool) -> None:
        """Mark an inode as used, and count it if it is that of a directory."""
        self._library.ext2fs_inode_alloc_stats2(
            self._handle, ctypes.c_uint32(inode), 1, int(directory)
        )

    def name_hash(self, version: int, seed: bytes, name: bytes) -> tuple[int, int]:
        """Compute the hash of a name for the index of a directory, and its second hash.

        Args:
            version: Number of the hash function.
            seed: Seed of the file system, 16 bytes.
            name: The name.
        """
        found, second = ctypes.c_uint32(), ctypes.c_uint32()
        number = self._library.ext2fs_dirhash(
            version, name, len(name), seed, ctypes.byref(found), ctypes.byref(second)
        )
        if number:
            raise Ext2Error(number, "ext2fs_dirhash")
        return found.value, second.value

    def seal_directory_block(self, inode: int, block: bytearray) -> bytes:
        """Return a block of a directory with its checksum, if the file system has checksums."""
        buffer = ctypes.create_string_buffer(bytes(block), len(block))
        self._call("ext2fs_dir_block_csum_set", ctypes.c_uint32(inode), buffer)
        return buffer.raw

    def read_inode(self, inode: int, size: int) -> bytearray:
        """Read the ``size`` bytes of an inode."""
        buffer = ctypes.create_string_buffer(size)
        self._call("ext2fs_read_inode_full", ctypes.c_uint32(inode), buffer, size)
        return bytearray(buffer.raw)

    def write_inode(self, inode: int, data: bytearray) -> None:
        """Write an inode."""
        buffer = ctypes.create_string_buffer(bytes(data), len(data))
        self._call("ext2fs_write_inode_full", ctypes.c_uint32(inode), buffer, len(data))

    def write_file(self, inode: int, pieces: Iterable[tuple[int, bytes]], size: int) -> None:
        """Write the content of a file.

        Args:
            inode: Inode of a file, directory or symbolic link.
            pieces: Content as (offset in bytes, data); gaps become holes.
            size: Size of the file in bytes.
        """
        file = ctypes.c_void_p()
        self._call("ext2fs_file_open", ctypes.c_uint32(inode), _FILE_WRITE, ctypes.byref(file))
        try:
            written = ctypes.c_uint()
            for offset, piece in pieces:
                self._call(
                    "ext2fs_file_llseek", file, ctypes.c_uint64(offset), 0, None, bound=False
                )
                self._call(
                    "ext2fs_file_write",
                    file,
                    piece,
                    len(piece),
                    ctypes.byref(written),
                    bound=False,
                )
            self._call("ext2fs_file_set_size2", file, ctypes.c_uint64(size), bound=False)
        finally:
            self._library.ext2fs_file_close.restype = ctypes.c_long
            number = self._library.ext2fs_file_close(file)
        if number:
            raise Ext2Error(number, "ext2fs_file_close")

    def set_attributes(self, inode: int, attributes: Iterable[tuple[str, bytes]]) -> None:
        """Set extended attributes, given as (name with prefix, value)."""
        handle = ctypes.c_void_p()
        self._call("ext2fs_xattrs_open", ctypes.c_uint32(inode), ctypes.byref(handle))
        try:
            self._call("ext2fs_xattrs_read", handle, bound=False)
            for name, value in attributes:
                self._call(
                    "ext2fs_xattr_set",
                    handle,
                    name.encode("utf-8", "surrogateescape"),
                    value,
                    ctypes.c_size_t(len(value)),
                    bound=False,
                )
        finally:
            self._library.ext2fs_xattrs_close(ctypes.byref(handle))
