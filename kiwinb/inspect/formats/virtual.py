"""Read disks in formats of virtual machines with qemu-img.

A header can name other files, and for qemu-img a name may be a server (``nbd:…``), a device, a pipe
or options (``json:…``). So kiwinb reads the names itself and refuses a disk that has any, before
qemu-img sees it. qemu-img gets the format that kiwinb has found, no network, and limited time.

Sources of the formats: docs/interop/qcow2.txt, qcow.txt and qed_spec.txt of QEMU, and VMware's
"Virtual Disk Format 5.0".
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kiwinb.errors import CommandError, InspectError
from kiwinb.inspect.formats.unpack import no_room, scratch_directory, scratch_space
from kiwinb.inspect.formats.window import DamagedError, Window, reading
from kiwinb.sandbox.foreign_file import TooSlowError, run_on_foreign
from kiwinb.sizes import binary

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

LARGEST = 16 << 40
"""Size in bytes of the largest disk that is converted; ext4 has no larger files."""

_SECONDS = 30
_BYTES_A_SECOND = 4 << 20
_MOST_NAME = 4096
_MOST_DESCRIPTOR = 1 << 20
_SECTOR = 512
_VMDK_TEXT = (_SECTOR, 20 * _SECTOR)
"""Where QEMU looks for the parent of a disk of VMware, whatever its header says."""


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


# --- what a disk refers to ---


def _qcow2(window: Window) -> str:
    at, size = _big(window, 8, 8), _big(window, 16, 4)
    if at:
        return _name(window, at, size)
    is_newer = _big(window, 4, 4) >= 3
    return "a separate data file" if is_newer and _big(window, 72, 8) & 4 else ""


def _qcow(window: Window) -> str:
    at, size = _big(window, 8, 8), _big(window, 16, 4)
    return _name(window, at, size) if at else ""


def _qed(window: Window) -> str:
    if not _little(window, 16, 8) & 1:
        return ""
    return _name(window, _little(window, 56, 4), _little(window, 60, 4))


def _vmdk(window: Window) -> str:
    if window.peek(0, 4) not in (b"KDMV", b"COWD"):
        found = re.search(rb'^(?:RW|RDONLY|NOACCESS)[^"\n]*"([^"\n]*)"', _text(window, 0), re.M)
        return _shown(found[1]) if found else "its extents"
    parts = [window.peek(*_VMDK_TEXT)]
    if window.peek(0, 4) == b"KDMV":
        at = _little(window, 28, 8) * _SECTOR
        parts += [_text(window, at)] if at else []
        if not _little(window, 12, 8):  # QEMU takes it for a descriptor
            return "its extents"
    for text in parts:
        if found := re.search(rb'parentFileNameHint\s*=?\s*"?([^"\n\0]*)', text):
            return _shown(found[1]) or "its parent"
    return ""


_REFERENCES: Mapping[str, Callable[[Window], str]] = {
    "qcow2": _qcow2,
    "qcow": _qcow,
    "qed": _qed,
    "vmdk": _vmdk,
}
"""Formats in which QEMU opens other files that a disk names."""


def _big(window: Window, at: int, size: int) -> int:
    return int.from_bytes(window.read(at, size), "big")


def _little(window: Window, at: int, size: int) -> int:
    return int.from_bytes(window.read(at, size), "little")


def _name(window: Window, at: int, size: int) -> str:
    return _shown(window.peek(at, min(size, _MOST_NAME))) or "another file"


def _text(window: Window, at: int) -> bytes:
    return window.peek(at, _MOST_DESCRIPTOR)


def _shown(name: bytes) -> str:
    text = name.decode("utf-8", "replace")[:200]
    return text if text.isprintable() else ascii(text)


# --- conversion ---


class _Disk(NamedTuple):
    """A virtual disk: a window on a whole file, its name in messages, and its format."""

    window: Window
    name: str
    kind: str

    @property
    def place(self) -> str:
        """The file, which need not have a name."""
        return f"/proc/self/fd/{self.window.file.fileno()}"

    def run(self, command: str, *arguments: str | Path, writable: Sequence[Path] = ()) -> str:
        """Run a command of qemu-img on the disk.

        Args:
            command: The command.
            arguments: Its arguments after the format.
            writable: Directories that it may write to.

        Raises:
            InspectError: It fails, or takes too long for what is stored in the file.
        """
        status = os.fstat(self.window.file.fileno())
        seconds = _SECONDS + status.st_blocks * 512 // _BYTES_A_SECOND
        try:
            return run_on_foreign(
                ["qemu-img", command, "-f", self.kind, *arguments],
                seconds,
                opened=self.window.file.fileno(),
                writable=writable,
            )
        except (CommandError, TooSlowError) as error:
            raise self.damaged(error) from error

    def damaged(self, error: Exception) -> InspectError:
        """Return the error to raise for one of qemu-img."""
        said = error.tail[-1] if isinstance(error, CommandError) and error.tail else str(error)
        said = re.sub(r"/proc/self/fd/\d+", lambda _: self.name, said)
        kind = self.kind
        return InspectError(
            f"{self.name} looks like a {kind} disk, but qemu-img cannot read it: {said}",
            remedy=f"Check it, decompressed if it is compressed: qemu-img check -f {kind} "
            f"{self.name}",
        )

    def json(self, command: str, *arguments: str | Path) -> Mapping[str, Any]:
        """Run a command and parse its output."""
        said = self.run(command, "--output=json", *arguments)
        try:
            found = json.loads(said)
        except ValueError as error:
            raise self.damaged(error) from error
        return found if isinstance(found, dict) else {}


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
    with reading(name, f"a {kind} disk"):
        other = _REFERENCES[kind](window) if kind in _REFERENCES else ""
    if other:
        raise InspectError(
            f"{name} is a {kind} disk that is not whole: it refers to {other}",
            remedy="Convert it to a single file first: qemu-img convert -O qcow2 OLD NEW",
        )
    disk = _Disk(window, name, kind)
    facts = disk.json("info", disk.place)
    if facts.get("encrypted"):
        raise InspectError(
            f"{name} is an encrypted {kind} disk",
            remedy="Decrypt it first: qemu-img convert, with --object secret for its key.",
        )
    if (size := int(facts.get("virtual-size") or 0)) > LARGEST:
        problem = f"it claims to be a disk of {binary(size)}; the most is {binary(LARGEST)}"
        raise disk.damaged(DamagedError(problem))
    with scratch_space(), tempfile.TemporaryDirectory(dir=scratch_directory()) as scratch:
        target = Path(scratch) / "disk.raw"
        needed = int(disk.json("measure", "-O", "qcow2", disk.place).get("required") or 0)
        free = shutil.disk_usage(scratch).free * 9 // 10
        if needed > free:
            raise no_room(name, needed, free)
        disk.run("convert", "-O", "raw", disk.place, target, writable=(target.parent,))
        return Window.of(target)
