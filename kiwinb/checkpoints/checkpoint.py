"""A checkpoint: the result of one step that the store keeps, and its metadata."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from kiwinb.errors import StoreError
from kiwinb.steps.keys import Digest
from kiwinb.steps.step import Output
from kiwinb.typed_json import WrongData, loads

FILE = "checkpoint.json"

_KEY = re.compile(r"[0-9a-f]*")


@dataclass(frozen=True)
class Checkpoint:
    """The result of one step in the store.

    Attributes:
        key: Content key of the step.
        name: Name of the step.
        title: What the step does, for people.
        output: ``tree`` or ``files``.
        base: Key of the tree that the step continued or read.
        needs: Keys of the ``files`` steps that the step read, by step name.
        inputs: Digest of each thing the step read, by label.
        created: When the step ended, in UTC, in the format of ISO 8601.
        seconds: Run time of the step.
        bytes: Disk space of the checkpoint; for a layer, only that of the layer.
        version: Version of kiwinb that made the checkpoint.
        manifest: SHA-256 of the list of its contents.
        files: SHA-256 of each file of a ``files`` step, by its path.
        action_key: Digest of what the key covers but for the tree; equal for steps that do the
            same with different trees.
        reads: SHA-256 of the list of what the step read of the tree; empty if not observed.
        reused: Key of the checkpoint whose result this is, because nothing that the step had read
            differs in its own tree; empty if the step ran.
    """

    key: Digest
    name: str
    title: str
    output: Output
    base: Digest | None
    needs: Mapping[str, Digest]
    inputs: Mapping[str, Digest]
    created: str
    seconds: float
    bytes: int
    version: str
    manifest: Digest
    files: Mapping[str, Digest]
    action_key: Digest = ""
    reads: Digest = ""
    reused: Digest = ""


def write_checkpoint(checkpoint: Checkpoint, directory: Path) -> None:
    """Write the metadata next to the data that it describes."""
    text = json.dumps(asdict(checkpoint), indent=2, sort_keys=True) + "\n"
    (directory / FILE).write_text(text, encoding="utf-8")


def read_checkpoint(directory: Path) -> Checkpoint:
    """Read the metadata.

    Raises:
        FileNotFoundError: There is no checkpoint.
        StoreError: It is damaged.
    """
    file = directory / FILE
    status = file.stat()
    return _read(file, status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _read(file: Path, _inode: int, _size: int, _mtime_ns: int) -> Checkpoint:
    """Read a file; cached, because a build reads the same files repeatedly."""
    try:
        checkpoint: Checkpoint = loads(file.read_bytes(), Checkpoint)
        keys = (
            checkpoint.key,
            checkpoint.base or "",
            checkpoint.reused,
            *checkpoint.needs.values(),
        )
        if not all(_KEY.fullmatch(key) for key in keys):
            raise WrongData("a key is not a digest")
        return checkpoint
    except WrongData as error:
        raise StoreError(
            f"the checkpoint {file.parent.name} is damaged: {error}",
            remedy="Remove it; the next build makes it again.",
        ) from error
