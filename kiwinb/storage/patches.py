"""Bytes that a bootloader puts at places of a disk that no partition has, or into its first sector.

A step leaves them as ``sectors.json``: a list of ``{"offset": BYTES, "file": NAME}``, the files
beside it. Whoever writes the disk writes them last, over the partition table.
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
    """Bytes for one place of a disk.

    Attributes:
        offset: Where the first one goes, in bytes from the start of the disk.
        data: The bytes.
    """

    offset: int
    data: bytes


def write_patches(directory: Path, patches: Sequence[Patch]) -> None:
    """Leave patches in the output directory of a step."""
    index = []
    for number, patch in enumerate(patches):
        name = f"sectors-{number}.bin"
        (directory / name).write_bytes(patch.data)
        index.append({"offset": patch.offset, "file": name})
    (directory / _INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def read_patches(directory: Path) -> tuple[Patch, ...]:
    """The patches that a step left; none when it left no index."""
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
