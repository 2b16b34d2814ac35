"""Manifests: a compressed file in each checkpoint that lists the contents of its data.

Its first line lists the files that have several names, because every step that builds on the
checkpoint needs these; manifests of early versions have no such line. The other lines are those
that :func:`~kiwinb.checkpoints.treescan.to_json` writes.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kiwinb.checkpoints.treescan import Entry, from_json, to_json
from kiwinb.files import read_regular

MANIFEST = "manifest.json.z"
"""Name of the manifest in the directory of a checkpoint."""

_PIECE = 1 << 14


def pack(entries: Sequence[Entry]) -> bytes:
    """Return the content of a manifest that lists these entries."""
    linked = [entry.path.decode("latin-1") for entry in entries if entry.link]
    return zlib.compress(f"{json.dumps(linked)}\n{to_json(entries)}".encode(), 1)


def unpack(manifest: bytes) -> tuple[Entry, ...]:
    """Return the entries of a manifest.

    Raises:
        zlib.error: The manifest is damaged.
        ValueError: It is not a manifest.
    """
    text = zlib.decompress(manifest).decode()
    return from_json(text.partition("\n")[2] if text.startswith("[") else text)


def read_rows(directory: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries of a checkpoint as JSON objects, which is faster than :func:`unpack`.

    Args:
        directory: Directory of the checkpoint.

    Raises:
        OSError: There is no manifest, or it cannot be read.
        zlib.error: The manifest is damaged.
        ValueError: It is not a manifest.
    """
    lines = zlib.decompress(read_regular(directory / MANIFEST)).decode().splitlines()
    yield from json.loads(f"[{','.join(line for line in lines if line.startswith('{'))}]")


def linked_paths(directory: Path) -> tuple[str, ...]:
    """Return all names of those files of a checkpoint that have several, relative to its data.

    Args:
        directory: Directory of the checkpoint.

    Raises:
        OSError: There is no manifest, or it cannot be read.
        zlib.error: The manifest is damaged.
        ValueError: The manifest does not list these files.
    """
    with (directory / MANIFEST).open("rb") as file:
        stream, line = zlib.decompressobj(), b""
        while b"\n" not in line and (piece := file.read(_PIECE)):
            line += stream.decompress(piece)
    linked = json.loads(line.partition(b"\n")[0])
    if not isinstance(linked, list):
        raise ValueError("the manifest of an earlier version lists no such files")
    return tuple(os.fsdecode(path.encode("latin-1")) for path in linked)
