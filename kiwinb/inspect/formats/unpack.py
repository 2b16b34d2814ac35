"""Unpack compressed files, and disks in formats of virtual machines.

The result is a sparse file in the cache without a name, so it disappears with the process.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, cast

from kiwinb.checkpoints.space import cache_place, explained_space
from kiwinb.errors import CommandError, InspectError, SpaceError
from kiwinb.inspect.formats.frames import Frames, starts
from kiwinb.inspect.formats.window import DamagedError, Window, reading
from kiwinb.sandbox.command import run
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
            raise _no_room(name, written, room)
    plain.truncate(at)


def _room(file: BinaryIO) -> int:
    """Return the number of bytes that may be written: nine tenths of the free space."""
    found = os.fstatvfs(file.fileno())
    return found.f_bavail * found.f_frsize * 9 // 10


def _no_room(name: str, size: int, room: int) -> SpaceError:
    return SpaceError(
        f"{name} takes more than {binary(size)} when it is unpacked, but the cache has "
        f"{binary(room)} left",
        remedy="Free some space, or set KIWINB_CACHE to a directory with more space.",
    )


def scratch_directory() -> Path:
    """Return the directory in the cache for unpacked files, and create it if necessary."""
    directory = load_settings().cache / "unpacked"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def scratch_space() -> AbstractContextManager[object]:
    """Return a context that raises :class:`SpaceError` if the cache is full."""
    return explained_space((cache_place(load_settings().cache),))


def _scratch_file() -> BinaryIO:
    return cast(BinaryIO, tempfile.TemporaryFile(dir=scratch_directory(), buffering=0))


# --- disks of virtual machines ---

_QEMU_FORMATS = {
    b"QFI\xfb\0\0\0\1": "qcow",
    b"QFI\xfb": "qcow2",
    b"QED\0": "qed",
    b"KDMV": "vmdk",
    b"COWD": "vmdk",
    b"vhdxfile": "vhdx",
    b"conectix": "vpc",
    b"WithoutFreeSpace": "parallels",
    b"WithouFreSpacExt": "parallels",
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


def plain_disk(window: Window, name: str, kind: str) -> Window:
    """Convert a virtual disk to a raw disk with qemu-img.

    The disk has to consist of a single file, because other files that it refers to are not opened.

    Args:
        window: A whole file, which holds the virtual disk; it need not have a name.
        name: Name in messages.
        kind: Its format, as qemu-img names it.

    Raises:
        InspectError: The disk is damaged or encrypted, or refers to other files.
        SpaceError: The cache does not have enough room.
        HostError: ``qemu-img`` is not installed.
    """
    place = Path(f"/proc/{os.getpid()}/fd/{window.file.fileno()}")
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
    with scratch_space(), tempfile.TemporaryDirectory(dir=scratch_directory()) as scratch:
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
    said = re.sub(r"/proc/\d+/fd/\d+", lambda _: name, said)
    return InspectError(
        f"{name} looks like a {kind} disk, but qemu-img cannot read it: {said}",
        remedy=f"Check it, decompressed if it is compressed: qemu-img check -f {kind} {name}",
    )
