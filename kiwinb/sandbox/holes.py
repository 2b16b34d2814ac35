"""Find data and holes in files, and copy files with their holes."""

from __future__ import annotations

import errno
import fcntl
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

_FICLONE = 0x40049409  # linux/fs.h
_IN_KERNEL = 16 << 20
_PIECE = 1 << 20
_ZEROS = bytes(_PIECE)


def extents(descriptor: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges in which an open file has data, as (start, end) in bytes."""
    end, size = 0, os.fstat(descriptor).st_size
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
            end = os.lseek(descriptor, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole follows
                return
            if error.errno != errno.ENOENT:
                raise
            # ext4 says so of a file in its inode that is longer than what is stored there.
            start, end = end, size
        yield start, end


def pieces(descriptor: int, size: int) -> Iterator[bytes]:
    """Yield the first bytes of an open file in pieces, with zeros for its holes.

    Args:
        descriptor: Descriptor of the file.
        size: Number of bytes to yield.

    Raises:
        EOFError: The file is shorter.
    """
    at = 0
    for start, end in (*extents(descriptor), (size, size)):
        if os.fstat(descriptor).st_size < size:
            raise EOFError
        while at < min(start, size):
            yield _ZEROS[: min(start, size) - at]
            at += min(_PIECE, min(start, size) - at)
        while at < min(end, size):
            data = os.pread(descriptor, min(_PIECE, min(end, size) - at), at)
            if not data:
                raise EOFError
            yield data
            at += len(data)


def copy_file(source: Path, target: Path) -> None:
    """Copy the content of a file, as a clone if the file system supports this, else with holes.

    Args:
        source: The file to read.
        target: The file to create.

    Raises:
        FileExistsError: The target exists.
    """
    with source.open("rb", buffering=0) as reader, target.open("xb", buffering=0) as writer:
        try:
            fcntl.ioctl(writer, _FICLONE, reader.fileno())
            return
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
        copy_data(reader.fileno(), writer.fileno())
        os.truncate(writer.fileno(), os.fstat(reader.fileno()).st_size)


def copy_data(source: int, target: int, offset: int = 0) -> None:
    """Copy the data of an open file into another open file, skipping holes.

    Args:
        source: Descriptor of the file to read.
        target: Descriptor of the file to write.
        offset: Offset in the target file, in bytes.
    """
    for start, end in extents(source):
        while start < end:
            count = _copy(source, target, end - start, start, offset + start)
            if not count:
                raise OSError(errno.EIO, "the file became shorter while it was read")
            start += count


def _copy(source: int, target: int, count: int, start: int, place: int) -> int:
    """Copy some bytes, within the kernel if it supports this."""
    try:
        return os.copy_file_range(source, target, min(count, _IN_KERNEL), start, place)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
    return os.pwrite(target, os.pread(source, min(count, _PIECE), start), place)


def unpack_file(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Unpack a regular file from a tar archive, with the holes that the archive records.

    Args:
        archive: The archive, which may be a stream.
        member: The file.
        target: The file to create.

    Raises:
        FileExistsError: The target exists.
        tarfile.ReadError: The archive ends early, or records impossible holes.
        OSError: The file system has no space for its data.
    """
    buffered = archive.extractfile(member)
    assert buffered is not None, f"{member.name} is a regular file"
    content: BinaryIO = cast(Any, buffered).raw  # unlike the buffer, it can seek in a stream
    runs = cast(Sequence[tuple[int, int]] | None, member.sparse)
    stored = ((0, member.size),) if runs is None else runs
    with target.open("xb") as file:
        _check_space(file, sum(length for _start, length in stored))
        for start, length in stored:
            if not 0 <= start <= start + length <= member.size:
                raise tarfile.ReadError(f"the sparse file {member.name} has data beyond its end")
            content.seek(start)
            file.seek(start)
            while length:
                data = content.read(min(_PIECE, length))
                if not data:
                    raise tarfile.ReadError("unexpected end of data")
                file.write(data)
                length -= len(data)
        file.truncate(member.size)


def _check_space(file: BinaryIO, size: int) -> None:
    """Refuse to fill the file system of a file with what is too large for it anyway."""
    status = os.fstatvfs(file.fileno())
    if status.f_blocks and size > status.f_bavail * status.f_frsize:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file.name)
