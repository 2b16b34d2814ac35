"""Unpack compressed files, and disks in formats of virtual machines.

The result is a sparse file in the cache without a name, so it disappears with the process.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, BinaryIO, cast

import zstandard

from kiwinb.errors import CommandError, InspectError
from kiwinb.inspect.formats.window import PIECE, Window, reading
from kiwinb.sandbox.command import run
from kiwinb.settings import load_settings
from kiwinb.sizes import binary

_BLOCK = 65536
_ZEROS = bytes(_BLOCK)


class _Reader:
    """A window as a stream."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        found = self._window.peek(self._at, size if size >= 0 else PIECE)
        self._at += len(found)
        return found

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        return

    closed = False


def _zstd(stream: IO[bytes]) -> IO[bytes]:
    reader = zstandard.ZstdDecompressor(max_window_size=1 << 30).stream_reader(
        stream, read_across_frames=True
    )
    return cast(IO[bytes], reader)


COMPRESSIONS: Mapping[bytes, tuple[str, Callable[[IO[bytes]], IO[bytes]]]] = {
    b"\x1f\x8b\x08": ("gzip", lambda stream: cast(IO[bytes], gzip.GzipFile(fileobj=stream))),
    b"\xfd7zXZ\0": ("xz", lambda stream: cast(IO[bytes], lzma.LZMAFile(stream))),  # noqa: SIM115
    b"BZh": ("bzip2", lambda stream: cast(IO[bytes], bz2.BZ2File(stream))),
    b"\x28\xb5\x2f\xfd": ("zstd", _zstd),
}
"""Name of each compression and the function that opens a stream, by the first bytes."""


def compression(window: Window) -> str:
    """Return the name of a file's compression; empty if it is not compressed."""
    start = window.peek(0, 8)
    return next((name for magic, (name, _) in COMPRESSIONS.items() if start.startswith(magic)), "")


def decompressed(window: Window, name: str) -> Window:
    """Decompress a file.

    Args:
        window: The compressed file.
        name: Name in messages.

    Raises:
        InspectError: The file is damaged, or the cache does not have enough room.
    """
    start = window.peek(0, 8)
    method, opener = next(value for magic, value in COMPRESSIONS.items() if start.startswith(magic))
    plain = _scratch_file()
    try:
        with reading(name, f"a file compressed with {method}"):
            stream = opener(cast(IO[bytes], _Reader(window)))
            _copy_sparsely(stream, plain, name)
    except BaseException:
        plain.close()
        raise
    return Window(plain)


def _copy_sparsely(stream: IO[bytes], plain: BinaryIO, name: str) -> None:
    room = _room(plain)
    at = written = 0
    while piece := stream.read(PIECE):
        for start in range(0, len(piece), _BLOCK):
            block = piece[start : start + _BLOCK]
            if block != _ZEROS[: len(block)]:
                os.pwrite(plain.fileno(), block, at + start)
                written += len(block)
        at += len(piece)
        if written > room:
            raise _no_room(name, written, room)
    plain.truncate(at)


def _room(file: BinaryIO) -> int:
    """Return the number of bytes that may be written: nine tenths of the free space."""
    found = os.fstatvfs(file.fileno())
    return found.f_bavail * found.f_frsize * 9 // 10


def _no_room(name: str, size: int, room: int) -> InspectError:
    return InspectError(
        f"{name} takes more than {binary(size)} when it is unpacked, but the cache has "
        f"{binary(room)} left",
        remedy="Free some space, or set KIWINB_CACHE to a directory with more space.",
    )


def scratch_directory() -> Path:
    """Return the directory in the cache for unpacked files, and create it if necessary."""
    directory = load_settings().cache / "unpacked"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _scratch_file() -> BinaryIO:
    return cast(BinaryIO, tempfile.TemporaryFile(dir=scratch_directory(), buffering=0))


# --- disks of virtual machines ---

_QEMU_FORMATS = {
    b"QFI\xfb": "qcow2",
    b"KDMV": "vmdk",
    b"COWD": "vmdk",
    b"vhdxfile": "vhdx",
    b"conectix": "vpc",
    b"WithoutFreeSpace": "parallels",
    b"# Disk DescriptorFile": "vmdk",
}


def virtual_format(window: Window) -> str:
    """Return qemu-img's name for the format of a virtual disk; empty for other files."""
    start = window.peek(0, 32)
    for magic, name in _QEMU_FORMATS.items():
        if start.startswith(magic):
            return name
    if window.peek(64, 4) == b"\x7f\x10\xda\xbe":
        return "vdi"
    if window.size > 512 and window.peek(window.size - 512, 8) == b"conectix":
        return "vpc"
    return ""


def plain_disk(path: Path, kind: str) -> Window:
    """Convert a virtual disk to a raw disk with qemu-img.

    The disk has to consist of a single file, because other files that it refers to are not opened.

    Args:
        path: The virtual disk.
        kind: Its format, as qemu-img names it.

    Raises:
        InspectError: The disk is damaged or encrypted, refers to other files, or the cache does
            not have enough room.
        HostError: ``qemu-img`` is not installed.
    """
    name = str(path)
    place = path.absolute()
    try:
        facts = json.loads(run(["qemu-img", "info", "--output=json", "-f", kind, place]))
    except (CommandError, ValueError) as error:
        raise _damaged(name, kind, error) from error
    own = facts.get("format-specific", {}).get("data", {})
    others = [facts[key] for key in ("backing-filename", "full-backing-filename") if key in facts]
    others += [own["data-file"]] if own.get("data-file") else []
    others += [
        extent["filename"]
        for extent in own.get("extents", ())
        if extent.get("filename") not in (None, str(place))
    ]
    if others:
        raise InspectError(
            f"{name} is a {kind} disk that is not whole: it refers to {others[0]}",
            remedy="Convert it to a single file first: qemu-img convert -O qcow2 OLD NEW",
        )
    if facts.get("encrypted"):
        raise InspectError(
            f"{name} is an encrypted {kind} disk",
            remedy="Decrypt it first: qemu-img convert, with --object secret for its key.",
        )
    with tempfile.TemporaryDirectory(dir=scratch_directory()) as scratch:
        target = Path(scratch) / "disk.raw"
        try:
            measure: list[str | Path] = [
                "qemu-img",
                "measure",
                "--output=json",
                "-O",
                "qcow2",
                "-f",
                kind,
                place,
            ]
            needed = int(json.loads(run(measure))["required"])
            free = shutil.disk_usage(scratch).free * 9 // 10
            if needed > free:
                raise _no_room(name, needed, free)
            run(["qemu-img", "convert", "-f", kind, "-O", "raw", place, target])
        except (CommandError, ValueError, KeyError) as error:
            raise _damaged(name, kind, error) from error
        return Window.of(target)


def _damaged(name: str, kind: str, error: Exception) -> InspectError:
    said = error.tail[-1] if isinstance(error, CommandError) and error.tail else str(error)
    return InspectError(
        f"{name} looks like a {kind} disk, but qemu-img cannot read it: {said}",
        remedy=f"Check it: qemu-img check -f {kind} {name}",
    )
