"""Bytes that a bootloader writes to the first sector of a disk, or elsewhere outside partitions.

A step writes ``sectors.json``, a list of ``{"offset": BYTES, "file": NAME}``, and the files that it
names. The step that makes the disk writes these bytes after the partition table.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_INDEX = "sectors.json"


@dataclass(frozen=True)
class Patch:
    """Bytes to write at a place of a disk.

    Attributes:
        offset: Offset of the first byte, in bytes from the start of the disk.
        data: The bytes.
    """

    offset: int
    data: bytes


def write_patches(directory: Path, patches: Sequence[Patch]) -> None:
    """Write patches to the output directory of a step."""
    index = []
    for number, patch in enumerate(patches):
        name = f"sectors-{number}.bin"
        (directory / name).write_bytes(patch.data)
        index.append({"offset": patch.offset, "file": name})
    (directory / _INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def read_patches(directory: Path) -> tuple[Patch, ...]:
    """Read the patches from the output directory of a step; none if it has no index."""
    try:
        index = json.loads((directory / _INDEX).read_bytes())
    except FileNotFoundError:
        return ()
    return tuple(Patch(item["offset"], (directory / item["file"]).read_bytes()) for item in index)


def apply_patches(disk: BinaryIO, patches: Sequence[Patch]) -> None:
    """Write patches to a disk."""
    for patch in patches:
        disk.seek(patch.offset)
        disk.write(patch.data)
