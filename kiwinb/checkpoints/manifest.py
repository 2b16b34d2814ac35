"""Manifests: what a checkpoint holds, in a compressed file next to its data."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

from kiwinb.checkpoints.treescan import Entry, from_json, to_json

MANIFEST = "manifest.json.z"
"""Its name in the directory of a checkpoint."""

_NOT_LINKED = '"link": ""}'
"""The end of the line of a file with one name."""


def pack(entries: Sequence[Entry]) -> bytes:
    """The content of a manifest."""
    return zlib.compress(to_json(entries).encode(), 1)


def unpack(manifest: bytes) -> tuple[Entry, ...]:
    """The entries of a manifest.

    Raises:
        zlib.error: It is damaged.
        ValueError: It is none.
    """
    return from_json(zlib.decompress(manifest).decode())


def linked_paths(directory: Path) -> tuple[str, ...]:
    """The names of the files of a checkpoint that have more than one, relative to its data.

    Args:
        directory: Of the checkpoint.

    Raises:
        OSError: It has no manifest, or that cannot be read.
        zlib.error: The manifest is damaged.
    """
    text = zlib.decompress((directory / MANIFEST).read_bytes()).decode()
    lines = [line for line in text.splitlines() if not line.endswith(_NOT_LINKED)]
    return tuple(os.fsdecode(json.loads(line)["path"].encode("latin-1")) for line in lines)
