"""A checkpoint: the result of one step that the store keeps, and its metadata."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from kiwinb.checkpoints.seal import SEAL, Seal, read_seal
from kiwinb.errors import StoreError
from kiwinb.files import read_regular
from kiwinb.steps.keys import Digest
from kiwinb.steps.step import Output
from kiwinb.typed_json import loads

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


class DamagedCheckpointError(StoreError):
    """A checkpoint is not what it was when it was made.

    Args:
        key: Key of the checkpoint.
        said: What is wrong with it.
        name: Name of its step, if known.
    """

    def __init__(self, key: Digest, said: str, name: str = "") -> None:
        step = f" of the step {name}" if name else ""
        super().__init__(
            f"the checkpoint {key[:12]}{step} is damaged: {said}",
            remedy="Build again; the next build makes it again.",
        )
        self.key = key
        self.said = said


def write_checkpoint(checkpoint: Checkpoint, directory: Path) -> Digest:
    """Write the metadata next to the data that it describes, and return its SHA-256."""
    text = json.dumps(asdict(checkpoint), indent=2, sort_keys=True) + "\n"
    (directory / FILE).write_text(text, encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()


def read_checkpoint(directory: Path, secret: bytes) -> Checkpoint:
    """Read the metadata, and make sure that the seal of the checkpoint is that of this store.

    Args:
        directory: Directory of the checkpoint.
        secret: The secret of the store.

    Raises:
        FileNotFoundError: There is no checkpoint.
        DamagedCheckpointError: It is damaged.
    """
    return read_sealed(directory, secret)[0]


def read_sealed(directory: Path, secret: bytes) -> tuple[Checkpoint, Seal]:
    """Read the metadata and the seal; see :func:`read_checkpoint`."""
    os.lstat(directory)
    try:
        states = tuple(_state(directory / name) for name in (FILE, SEAL))
        return _read(directory, secret, states)
    except (OSError, ValueError) as error:
        said = str(error)
        if isinstance(error, FileNotFoundError) and str(error.filename).endswith(SEAL):
            said = "it has no seal, so it is not complete or was found to be damaged before"
        elif isinstance(error, OSError):
            said = f"{Path(str(error.filename)).name}: {error.strerror}"
        raise DamagedCheckpointError(directory.name, said) from error


def _state(file: Path) -> tuple[int, ...]:
    status = file.lstat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@lru_cache(maxsize=1024)
def _read(
    directory: Path, secret: bytes, _states: tuple[tuple[int, ...], ...]
) -> tuple[Checkpoint, Seal]:
    """Read the files; cached, because a build reads the same files repeatedly."""
    data = read_regular(directory / FILE)
    checkpoint: Checkpoint = loads(data, Checkpoint)
    try:
        seal = read_seal(directory)
    except ValueError as error:
        raise ValueError(f"its seal is damaged: {error}") from None
    if not seal.is_signed(secret):
        raise ValueError("its seal is not from this store")
    if not seal.key == checkpoint.key == directory.name:
        raise ValueError(f"it is the checkpoint {checkpoint.key[:12]}, in the wrong place")
    if hashlib.sha256(data).hexdigest() != seal.checkpoint:
        raise ValueError(f"{FILE} was changed")
    named = (checkpoint.key, checkpoint.base or "", checkpoint.reused, *checkpoint.needs.values())
    if not all(_KEY.fullmatch(key) for key in named):
        raise ValueError("a key is not a digest")
    return checkpoint, seal
