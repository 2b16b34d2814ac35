"""Manifests: what a checkpoint holds, in a compressed file next to its data.

The first line lists the files that have several names, because each step on top of the checkpoint
asks for these; earlier versions did not write it. The others are those of
:func:`~kiwinb.checkpoints.treescan.to_json`.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kiwinb.checkpoints.treescan import Entry, from_json, to_json

MANIFEST = "manifest.json.z"
"""Its name in the directory of a checkpoint."""

_PIECE = 1 << 14


def pack(entries: Sequence[Entry]) -> bytes:
    """The content of a manifest."""
    linked = [entry.path.decode("latin-1") for entry in entries if entry.link]
    return zlib.compress(f"{json.dumps(linked)}\n{to_json(entries)}".encode(), 1)


def unpack(manifest: bytes) -> tuple[Entry, ...]:
    """The entries of a manifest.

    Raises:
        zlib.error: It is damaged.
        ValueError: It is none.
    """
    text = zlib.decompress(manifest).decode()
    return from_json(text.partition("\n")[2] if text.startswith("[") else text)


def read_rows(directory: Path) -> Iterator[dict[str, Any]]:
    """The entries of a checkpoint as JSON objects; making an :class:`Entry` of each takes longer.

    Args:
        directory: Of the checkpoint.

    Raises:
        OSError: It has no manifest, or that cannot be read.
        zlib.error: The manifest is damaged.
        ValueError: It is none.
    """
    lines = zlib.decompress((directory / MANIFEST).read_bytes()).decode().splitlines()
    yield from json.loads(f"[{','.join(line for line in lines if line.startswith('{'))}]")


def linked_paths(directory: Path) -> tuple[str, ...]:
    """The files of a checkpoint that have several names: all these names, relative to its data.

    Args:
        directory: Of the checkpoint.

    Raises:
        OSError: It has no manifest, or that cannot be read.
        zlib.error: The manifest is damaged.
        ValueError: It does not list them.
    """
    with (directory / MANIFEST).open("rb") as file:
        stream, line = zlib.decompressobj(), b""
        while b"\n" not in line and (piece := file.read(_PIECE)):
            line += stream.decompress(piece)
    linked = json.loads(line.partition(b"\n")[0])
    if not isinstance(linked, list):
        raise ValueError("the manifest of an earlier version lists no such files")
    return tuple(os.fsdecode(path.encode("latin-1")) for path in linked)
