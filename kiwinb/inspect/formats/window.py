"""A stretch of bytes in a file, and the errors of reading what is not as it should be."""

from __future__ import annotations

import lzma
import os
import struct
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import lz4.block
import zstandard

from kiwinb.errors import InspectError

PIECE = 1 << 20
"""Bytes that are read or handed on at a time."""


class DamagedError(Exception):
    """Bytes are not what the format says; :func:`reading` makes an ``InspectError`` of it."""


class UnsupportedError(Exception):
    """Sound, but of a kind that is not read here.

    Args:
        problem: What it is.
        remedy: What to do about it.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.remedy = remedy


_BROKEN = (
    DamagedError,
    struct.error,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    zstandard.ZstdError,
    lz4.block.LZ4BlockError,
    ArithmeticError,
    EOFError,
    LookupError,
    RecursionError,
    ValueError,
)


@contextmanager
def reading(name: str, what: str) -> Iterator[None]:
    """Make an ``InspectError`` of whatever goes wrong while something is parsed.

    Args:
        name: What is read, as the user named it.
        what: What it looks like, with an article: ``an ext4 file system``.
    """
    try:
        yield
    except UnsupportedError as error:
        raise InspectError(f"{name} is {what}: {error}", remedy=error.remedy) from error
    except _BROKEN as error:
        text = str(error) if isinstance(error, DamagedError | tarfile.TarError) else ""
        raise InspectError(
            f"{name} looks like {what}, but is damaged{f': {text}' if text else ''}",
            remedy="Get or make it anew, or check it with the tools of its format.",
        ) from error
    except OSError as error:
        raise InspectError(f"cannot read {name}: {error.strerror or error}") from error


class Window:
    """A stretch of a file that is open for reading.

    Args:
        file: The file; whoever opened it closes it.
        start: First byte.
        size: Bytes; up to the end of the file when not given.
    """

    def __init__(self, file: BinaryIO, start: int = 0, size: int | None = None) -> None:
        self.file = file
        self.start = start
        self.size = os.fstat(file.fileno()).st_size - start if size is None else size

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Window:
        """All of a file."""
        return cls(Path(path).open("rb", buffering=0))

    def part(self, start: int, size: int | None = None) -> Window:
        """A stretch of this stretch."""
        if start < 0 or start > self.size:
            raise DamagedError(f"byte {start} is behind its end")
        left = self.size - start
        return Window(self.file, self.start + start, left if size is None else min(size, left))

    def peek(self, at: int, size: int) -> bytes:
        """Up to ``size`` bytes; fewer at the end."""
        if at < 0 or at >= self.size:
            return b""
        return os.pread(self.file.fileno(), min(size, self.size - at), self.start + at)

    def read(self, at: int, size: int) -> bytes:
        """Exactly ``size`` bytes."""
        if at < 0 or size < 0 or at + size > self.size:
            raise DamagedError(f"bytes {at} to {at + size} are behind its end ({self.size})")
        found = os.pread(self.file.fileno(), size, self.start + at)
        while len(found) < size:  # one call gives 2 GiB at most
            more = os.pread(self.file.fileno(), size - len(found), self.start + at + len(found))
            if not more:
                raise DamagedError(f"it ends early, at byte {at + len(found)}")
            found += more
        return found

    def pieces(self, at: int, size: int) -> Iterator[bytes]:
        """Exactly ``size`` bytes, some at a time."""
        if at < 0 or at + size > self.size:
            raise DamagedError(f"bytes {at} to {at + size} are behind its end ({self.size})")
        while size:
            found = self.read(at, min(size, PIECE))
            yield found
            at += len(found)
            size -= len(found)

    def close(self) -> None:
        """Close the file."""
        self.file.close()
