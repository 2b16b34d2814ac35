"""EROFS: a read-only file system with optional compression, made by mkfs.erofs."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from kiwinb.errors import CommandError, ImageError
from kiwinb.sandbox.command import run
from kiwinb.storage.filesystem.content import Content, Need, name_of, shown
from kiwinb.storage.filesystem.erofs_nodes import write_nodes
from kiwinb.storage.filesystem.limits import (
    PATH_OF_TOOLS,
    SIZE_OF_TOOLS,
    Limits,
    check,
    refused,
)
from kiwinb.storage.filesystem.presented import NODES, left_out, presented
from kiwinb.storage.filesystem.spec import Filesystem, Growth, Watch
from kiwinb.storage.sparse import punch_zeros

_LONGEST_NAME = 254
"""In bytes; erofs-utils before 1.6 do not accept longer names, though the format allows 255."""

_LEVEL = "level="
_LARGEST_VALUE = (1 << 16) - 1
_LIMITS = Limits(
    "EROFS",
    path=PATH_OF_TOOLS,
    size=SIZE_OF_TOOLS,
    times=(0, (1 << 63) - 1),  # mkfs.erofs takes earlier ones for late ones
    flags=False,
)


@dataclass(frozen=True)
class Erofs:
    """EROFS with blocks of 4096 bytes.

    mkfs.erofs keeps no holes: without compression, it writes zeros for them. In the image, these
    zeros are holes. It may give symbolic links the time of the image.
    """

    name: str = "erofs"
    revision: int = 2
    tools: tuple[str, ...] = ("mkfs.erofs", "mke2fs")  # mke2fs brings libext2fs
    makes_images: bool = True
    grub_module: str | None = None
    growth: Growth | None = None
    read_only: bool = True
    subvolumes: bool = False
    least_volume: int = 30
    has_uuid: bool = True
    compression: str | None = "erofscompression"
    fstab_type: str = "erofs"
    checked: bool = False

    def lacks(self, compression: str | None) -> str | None:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        if compression is None:
            return None
        known = _help()
        for name in _compressors(compression):
            if not re.search(rf"\b{re.escape(name)}\b", known):
                return f"mkfs.erofs of this host does not compress with {name}"
        return None

    def size(self, need: Need) -> int:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        return need.size

    def identifier(self, uuid: str) -> str:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        return uuid

    def make(self, image: Path, spec: Filesystem, content: Content, watch: Watch) -> None:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        check(content, _LIMITS)
        _check_values(content)
        if problem := self.lacks(spec.compression):
            raise ImageError(problem, remedy="Take another erofscompression.")
        paths = left_out(content)
        image.write_bytes(b"")
        try:
            with presented(content, fifos=True):
                run(
                    [
                        *("mkfs.erofs", "--quiet", "-U", spec.uuid),
                        *_compression(spec.compression),
                        *spec.options,
                        *(f"--exclude-path={os.fsdecode(path)}" for path in paths),
                        *(str(image), str(content.root)),
                    ],
                    log=watch.log,
                    env={"SOURCE_DATE_EPOCH": str(content.epoch)},  # the latest time in the image
                )
        except CommandError as error:
            for entry in content.entries:
                if len(name_of(entry)) > _LONGEST_NAME:
                    raise ImageError(
                        f"mkfs.erofs of this host takes no name as long as {shown(entry.path)}",
                        remedy="Remove it from the root tree, or take a newer erofs-utils.",
                    ) from error
            raise
        if any(content.sparse(entry) for entry in content.entries if entry.kind == "file"):
            punch_zeros(image)
        write_nodes(image, {e.path: e for e in content.entries if e.kind in NODES})
        watch.progress(1.0)


def _check_values(content: Content) -> None:
    for entry in content.entries:
        for name, value in entry.xattrs:
            if len(value) > _LARGEST_VALUE:
                problem = (
                    f"its extended attribute {name} has {len(value)} bytes, "
                    f"and {_LARGEST_VALUE} are the most"
                )
                raise refused(_LIMITS, entry.path, problem)


def _compressors(compression: str) -> list[str]:
    """Return the names of compressors in a value such as ``lz4hc,12:lz4``."""
    return [part.split(",")[0] for part in compression.split(":")]


def _compression(compression: str | None) -> tuple[str, ...]:
    """Return the option for a compression, with ``level=9`` or ``9`` as this mkfs.erofs expects."""
    if compression is None:
        return ()
    if _LEVEL not in _help():
        compression = compression.replace(_LEVEL, "")
    return (f"-z{compression}",)


def _help() -> str:
    lines: list[str] = []
    run(["mkfs.erofs", "--help"], log=lines.append, check=False)
    return "\n".join(lines)


EROFS = Erofs()
