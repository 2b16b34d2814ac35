"""Drafts: checkpoints in the making, and how one becomes a checkpoint."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kiwinb.checkpoints import logs
from kiwinb.checkpoints.checkpoint import FILE, Checkpoint, write_checkpoint
from kiwinb.checkpoints.manifest import MANIFEST, pack
from kiwinb.checkpoints.seal import Seal, read_seal, write_seal
from kiwinb.checkpoints.stamps import take_stamps
from kiwinb.checkpoints.treescan import Entry, survey, walk
from kiwinb.files import read_regular, sync
from kiwinb.libc import LIBC, libc_call
from kiwinb.sandbox.mount_table import filesystem_of
from kiwinb.sandbox.reach import Reach
from kiwinb.steps.keys import Digest
from kiwinb.steps.step import Output
from kiwinb.typed_json import loads
from kiwinb.version import __version__

_GIVEN = ("key", "name", "title", "output", "base", "needs", "inputs", "action_key")

READS = "reads.json.z"
"""File in a checkpoint that lists what its step read of the tree, if that was observed."""


@dataclass(frozen=True)
class Draft:
    """A checkpoint in the making.

    Attributes:
        directory: Its directory, on the file system of the store.
        destination: Where it moves when it is complete.
        key: For this and all further attributes, see
            :class:`~kiwinb.checkpoints.checkpoint.Checkpoint`.
    """

    directory: Path
    destination: Path
    key: Digest
    name: str
    title: str
    output: Output
    base: Digest | None
    needs: Mapping[str, Digest]
    inputs: Mapping[str, Digest]
    action_key: Digest = ""


def commit(draft: Draft, seconds: float, *, reused: Digest = "") -> Checkpoint:
    """Complete the draft: record its contents, and write all of it to the disk; runs in a worker.

    Args:
        draft: The draft. Its directory has the data, the log if the step printed anything, and
            the list of reads if they were observed.
        seconds: Run time of the action.
        reused: Key of the checkpoint that the result was taken from; empty if the action ran.

    Raises:
        OSError: The disk cannot be written.
    """
    directory = draft.directory
    logs.pack_log(directory)
    if (filesystem_of(directory) or "").startswith("fuse"):
        _settle_times(directory / "data")
    with _syncing(directory):  # the disk writes while we hash
        found = survey(directory / "data")
        manifest = pack(found.entries)
    (directory / MANIFEST).write_bytes(manifest)
    checkpoint = Checkpoint(
        key=draft.key,
        name=draft.name,
        title=draft.title,
        output=draft.output,
        base=draft.base,
        needs=draft.needs,
        inputs=draft.inputs,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        bytes=found.bytes,
        version=__version__,
        manifest=hashlib.sha256(manifest).hexdigest(),
        files=_digests(found.entries) if draft.output == "files" else {},
        action_key=draft.action_key,
        reads=_digest_of(directory / READS),
        reused=reused,
    )
    metadata = write_checkpoint(checkpoint, directory)
    log = _digest_of(directory / logs.LOG)
    write_seal(Seal(draft.key, metadata, log, take_stamps(found.found)), directory, durable=False)
    for written in (directory / MANIFEST, directory / FILE):
        sync(written)
    return checkpoint


def publish(draft: Draft, secret: bytes) -> None:
    """Seal a complete draft, and move it to its destination in one step; runs outside of workers.

    Args:
        draft: The draft.
        secret: The secret of the store.

    Raises:
        OSError: The disk cannot be written.
        ValueError: The draft is not complete.
    """
    seal = read_seal(draft.directory)
    made: Checkpoint = loads(read_regular(draft.directory / FILE), Checkpoint)
    for name in _GIVEN:
        if getattr(made, name) != getattr(draft, name):
            raise ValueError(f"the draft of {draft.key[:12]} has another {name}")
    write_seal(seal.signed(secret), draft.directory)
    draft.directory.rename(draft.destination)
    for parent in (draft.destination.parent, draft.directory.parent):
        sync(parent)


def _digest_of(file: Path) -> Digest:
    """SHA-256 of a file; empty if it does not exist."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""


def _digests(entries: Sequence[Entry]) -> dict[str, Digest]:
    """SHA-256 of each file, by path; leaves out paths that are not text."""
    found = {}
    for entry in entries:
        if entry.kind == "file":
            with suppress(UnicodeDecodeError):
                found[entry.path.decode()] = entry.sha256
    return found


@contextmanager
def _syncing(path: Path) -> Iterator[None]:
    """Sync a file system in the background; the sync is complete when the context ends.

    Raises:
        OSError: It cannot be synced.
    """
    failed: list[OSError] = []

    def write() -> None:
        try:
            sync_file_system(path)
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if failed:
        raise failed[0]


def _settle_times(root: Path) -> None:
    """Have the daemon of a file system on FUSE know the modification times that the kernel knows.

    With a write-back cache, the kernel's are a little older, and gone after the next mount.

    Raises:
        OSError: A time cannot be set.
    """
    sync_file_system(root)
    with Reach(os.fsencode(root)) as reach:
        for path, status in walk(os.fsencode(root)):
            if stat.S_ISREG(status.st_mode):
                os.utime(reach.path(path), ns=(status.st_atime_ns, status.st_mtime_ns))


def sync_file_system(path: Path) -> None:
    """Write all data that the file system of a path still has in memory to the disk.

    Raises:
        OSError: The data cannot be written.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # On FUSE, it is interrupted as well once after a process was killed while it wrote.
        libc_call(LIBC.syncfs, descriptor, path=path)
    finally:
        os.close(descriptor)
