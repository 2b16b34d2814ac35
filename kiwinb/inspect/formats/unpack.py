"""Unpack compressed files.

The result is a sparse file in the cache without a name, so it disappears with the process.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, cast

from kiwinb.checkpoints.private import make_private_cache
from kiwinb.checkpoints.space import cache_place, explained_space
from kiwinb.errors import SpaceError
from kiwinb.inspect.formats.frames import Frames, starts
from kiwinb.inspect.formats.window import DamagedError, Window, reading
from kiwinb.settings import load_settings
from kiwinb.sizes import binary

_BLOCK = 65536
_ZEROS = bytes(_BLOCK)


def compression(window: Window) -> str:
    """Return the name of a file's compression; empty if it is not compressed."""
    return starts(window, 0)


def decompressed(window: Window, name: str) -> Window:
    """Decompress a file.

    Args:
        window: The compressed file.
        name: Name in messages.

    Raises:
        InspectError: The file is damaged.
        SpaceError: The cache does not have enough room.
    """
    frames = Frames(window, padded=True)
    with reading(name, f"a file compressed with {compression(window)}"):
        plain = unpacked(frames, name)
        if window.skip_zeros(frames.end) < window.size:
            plain.close()
            raise DamagedError(f"other data follows at byte {frames.end}")
    return plain


def unpacked(pieces: Iterable[bytes], name: str) -> Window:
    """Write content to a file in the cache.

    Args:
        pieces: The content.
        name: Name in messages.

    Raises:
        SpaceError: The cache does not have enough room.
    """
    with scratch_space():
        plain = _scratch_file()
        try:
            _copy_sparsely(pieces, plain, name)
        except BaseException:
            plain.close()
            raise
        return Window(plain)


def _copy_sparsely(pieces: Iterable[bytes], plain: BinaryIO, name: str) -> None:
    room = _room(plain)
    at = written = 0
    for piece in pieces:
        for start in range(0, len(piece), _BLOCK):
            block = piece[start : start + _BLOCK]
            if block != _ZEROS[: len(block)]:
                os.pwrite(plain.fileno(), block, at + start)
                written += len(block)
        at += len(piece)
        if written > room:
            raise no_room(name, written, room)
    plain.truncate(at)


def _room(file: BinaryIO) -> int:
    """Return the number of bytes that may be written: nine tenths of the free space."""
    found = os.fstatvfs(file.fileno())
    return found.f_bavail * found.f_frsize * 9 // 10


def no_room(name: str, size: int, room: int) -> SpaceError:
    """Return the error for content that is larger than the cache."""
    return SpaceError(
        f"{name} takes more than {binary(size)} when it is unpacked, but the cache has "
        f"{binary(room)} left",
        remedy="Free some space, or set KIWINB_CACHE to a directory with more space.",
    )


def scratch_directory() -> Path:
    """Return the directory in the cache for unpacked files, and create it if necessary."""
    cache = load_settings().cache
    make_private_cache(cache)
    directory = cache / "unpacked"
    directory.mkdir(exist_ok=True)
    return directory


def scratch_space() -> AbstractContextManager[object]:
    """Return a context that raises :class:`SpaceError` if the cache is full."""
    return explained_space((cache_place(load_settings().cache),))


def _scratch_file() -> BinaryIO:
    return cast(BinaryIO, tempfile.TemporaryFile(dir=scratch_directory(), buffering=0))
