"""SquashFS: a compressed, read-only file system, made by mksquashfs."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from kiwinb.checkpoints.treescan import Entry
from kiwinb.errors import ImageError
from kiwinb.sandbox.command import run
from kiwinb.storage.filesystem.content import Content, Need, shown
from kiwinb.storage.filesystem.limits import PATH_OF_TOOLS, SIZE_OF_TOOLS, Limits, check
from kiwinb.storage.filesystem.presented import NODES, left_out, presented
from kiwinb.storage.filesystem.spec import Filesystem, Growth, Watch

_LIMITS = Limits(
    "SquashFS",
    path=PATH_OF_TOOLS,
    size=SIZE_OF_TOOLS,
    owners=1 << 16,
    times=(0, (1 << 32) - 1),
    flags=False,
)
_UNCOMPRESSED = ("-noI", "-noId", "-noD", "-noF", "-noX")
_ATTRIBUTES = ("user.", "trusted.", "security.")
"""Prefixes of the extended attributes that it can hold; it has no ACLs."""


@dataclass(frozen=True)
class Squashfs:
    """SquashFS 4.0."""

    name: str = "squashfs"
    revision: int = 2
    tools: tuple[str, ...] = ("mksquashfs",)
    makes_images: bool = True
    grub_module: str | None = "squash4"
    growth: Growth | None = None
    read_only: bool = True
    subvolumes: bool = False
    least_volume: int = 30
    has_uuid: bool = False
    compression: str | None = "squashfscompression"
    fstab_type: str = "squashfs"
    checked: bool = False

    def lacks(self, compression: str | None) -> str | None:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        return None  # mksquashfs of Debian and Ubuntu has all that the schema allows

    def size(self, need: Need) -> int:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        return need.size

    def identifier(self, uuid: str) -> str:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        return uuid

    def make(self, image: Path, spec: Filesystem, content: Content, watch: Watch) -> None:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        check(content, _LIMITS)
        _warn(content, watch)
        nodes = [entry for entry in content.entries if entry.kind in NODES]
        paths = [*left_out(content), *(entry.path for entry in nodes)]
        excluded = ("-e", *map(_pattern, paths)) if paths else ()
        with presented(content, fifos=False):
            run(
                [
                    *("mksquashfs", str(content.root), str(image)),
                    *("-noappend", "-quiet", "-no-progress", "-exit-on-error"),
                    *_compression(spec.compression),
                    *spec.options,
                    *(word for entry in nodes for word in ("-p", _definition(content, entry))),
                    "-wildcards",
                    *excluded,
                ],
                log=watch.log,
                env={"SOURCE_DATE_EPOCH": str(content.epoch)},  # the latest time in the image
            )
        watch.progress(1.0)


def _compression(compression: str | None) -> tuple[str, ...]:
    if compression == "uncompressed":
        return _UNCOMPRESSED
    return ("-comp", compression) if compression else ()


def _warn(content: Content, watch: Watch) -> None:
    lost = [
        entry.path
        for entry in content.entries
        if any(not name.startswith(_ATTRIBUTES) for name, _ in entry.xattrs)
    ]
    if lost:
        watch.log(
            f"WARNING: SquashFS has no ACLs: those of {len(lost)} files are lost, "
            f"for example of {shown(lost[0])}"
        )


def _pattern(path: bytes) -> str:
    r"""Return a pattern that matches only this path, with ``\`` before special characters."""
    return os.fsdecode(re.sub(rb"([^A-Za-z0-9_/\x80-\xff-])", rb"\\\1", path))


def _definition(content: Content, entry: Entry) -> str:
    """Return the pseudo-file definition from which mksquashfs makes a device node.

    It works the same for real device nodes and for stand-ins.
    """
    if b"\n" in entry.path:
        raise ImageError(
            f"mksquashfs cannot take the device node {shown(entry.path)}: its name has a line end",
            remedy="Remove it from the root tree.",
        )
    name = os.fsdecode(entry.path).replace("\\", "\\\\").replace('"', '\\"')
    assert entry.device is not None
    major, minor = entry.device
    letter = "C" if entry.kind == "char" else "B"
    seconds = content.modified_ns(entry) // 10**9
    return f'"{name}" {letter} {seconds} {entry.mode:o} {entry.uid} {entry.gid} {major} {minor}'


SQUASHFS = Squashfs()
