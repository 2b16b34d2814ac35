"""Read a range of bytes in a file, and report errors in its content."""

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
from kiwinb.typed_json import WrongData

_LONGEST = 600
"""Characters of a part of a message."""

PIECE = 1 << 20
"""Number of bytes that are read or passed on at a time."""


class DamagedError(Exception):
    """The content violates its format; :func:`reading` turns this into an ``InspectError``."""


class UnsupportedError(Exception):
    """The content is valid, but kiwinb cannot read it.

    Args:
        problem: What kiwinb cannot read.
        remedy: What the user can do about it.
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
    """Turn errors while parsing something into an ``InspectError``.

    Args:
        name: Name by which the user knows it.
        what: What it looks like, with an article, such as ``an ext4 file system``.

    Raises:
        InspectError: The content is damaged, not supported, or cannot be read.
    """
    try:
        yield
    except UnsupportedError as error:
        said, remedy = _short(str(error)), _short(error.remedy)
        raise InspectError(f"{name} is {what}: {said}", remedy=remedy) from error
    except _BROKEN as error:
        is_told = isinstance(error, DamagedError | WrongData | tarfile.TarError)
        text = _short(str(error)) if is_told else ""
        raise InspectError(
            f"{name} looks like {what}, but is damaged{f': {text}' if text else ''}",
            remedy="Get or make it again, or check it with the tools of its format.",
        ) from error
    except OSError as error:
        raise InspectError(f"cannot read {name}: {error.strerror or error}") from error


def _short(text: str) -> str:
    """Cut off a text that quotes too much of what a file says."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


class Window:
    """A range of bytes in a file that is open for reading.

    Args:
        file: The file; :meth:`close` closes it.
        start: Offset of the first byte.
        size: Number of bytes; by default, up to the end of the file.
    """

    def __init__(self, file: BinaryIO, start: int = 0, size: int | None = None) -> None:
        self.file = file
        self.start = start
        self.size = os.fstat(file.fileno()).st_size - start if size is None else size

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Window:
        """Open a whole file."""
        return cls(Path(path).open("rb", buffering=0))

    def part(self, start: int, size: int | None = None) -> Window:
        """Return a part of this window.

        Args:
            start: Offset of its first byte in this window.
            size: Number of bytes; by default and at most, up to the end of this window.

        Raises:
            DamagedError: ``start`` is not in this window.
        """
        if start < 0 or start > self.size:
            raise DamagedError(f"byte {start} is behind its end")
        left = self.size - start
        return Window(self.file, self.start + start, left if size is None else min(size, left))

    def peek(self, at: int, size: int) -> bytes:
        """Read up to ``size`` bytes; fewer at the end of the window."""
        if at < 0 or at >= self.size:
            return b""
        return os.pread(self.file.fileno(), min(size, self.size - at), self.start + at)

    def read(self, at: int, size: int) -> bytes:
        """Read exactly ``size`` bytes.

        Raises:
            DamagedError: The window has fewer bytes.
        """
        if at < 0 or size < 0 or at + size > self.size:
            raise DamagedError(f"bytes {at} to {at + size} are behind its end ({self.size})")
        found = os.pread(self.file.fileno(), size, self.start + at)
        while len(found) < size:  # a single call reads at most 2 GiB
            more = os.pread(self.file.fileno(), size - len(found), self.start + at + len(found))
            if not more:
                raise DamagedError(f"it ends early, at byte {at + len(found)}")
            found += more
        return found

    def pieces(self, at: int, size: int) -> Iterator[bytes]:
        """Yield exactly ``size`` bytes in pieces.

        Raises:
            DamagedError: The window has fewer bytes.
        """
        if at < 0 or at + size > self.size:
            raise DamagedError(f"bytes {at} to {at + size} are behind its end ({self.size})")
        while size:
            found = self.read(at, min(size, PIECE))
            yield found
            at += len(found)
            size -= len(found)

    def skip_zeros(self, at: int) -> int:
        """Return the offset of the first byte from ``at`` on that is not zero, or of the end."""
        while block := self.peek(at, 65536):
            stripped = block.lstrip(b"\0")
            at += len(block) - len(stripped)
            if stripped:
                break
        return at

    def close(self) -> None:
        """Close the file."""
        self.file.close()
