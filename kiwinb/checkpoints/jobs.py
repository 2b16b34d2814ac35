"""Jobs in which the store reads or writes trees.

Only root may read every file and set any owner, so these jobs run in workers. Each consists of
frozen data and a function at the top level of the module, for :func:`kiwinb.sandbox.worker.call`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from kiwinb.checkpoints import logs
from kiwinb.checkpoints.backend import copy_tree, make_place
from kiwinb.checkpoints.drafts import Draft, commit, sync_file_system
from kiwinb.checkpoints.manifest import MANIFEST, unpack
from kiwinb.checkpoints.stamps import Stamps, take_stamps
from kiwinb.checkpoints.trees import BACKENDS, TreeRef
from kiwinb.checkpoints.treescan import Entry, compare, scan, survey
from kiwinb.errors import StoreError
from kiwinb.files import read_regular
from kiwinb.sandbox.command import run
from kiwinb.sandbox.others import end_other_processes
from kiwinb.sandbox.reach import Reach
from kiwinb.sandbox.worker import Report
from kiwinb.steps.keys import Digest, digest

A = TypeVar("A")
R = TypeVar("R")


@dataclass(frozen=True)
class ViewJob(Generic[A, R]):
    """Call a function with a tree of the store.

    Attributes:
        function: Takes the tree, the argument and the report.
        argument: Passed to the function.
        tree: The tree.
        scratch: Draft directory for writes; ``None`` for a read-only tree.
    """

    function: Callable[[Path, A, Report], R]
    argument: A
    tree: TreeRef
    scratch: Path | None


def run_in_tree(job: ViewJob[A, R], report: Report) -> R:
    """Show the tree, and call the function."""
    backend = BACKENDS[job.tree.backend]
    place = make_place(job.tree.mnt)
    if job.scratch is not None:
        shown = backend.scratch(job.tree.layers, job.scratch, place)
    else:
        shown = backend.view(job.tree.layers, place)
    with shown as root:
        result = job.function(root, job.argument, report)
        end_other_processes()
        return result


def export_tree(root: Path, destination: Path, _report: Report) -> None:
    """Copy a tree from the store to a path that the user named; for :class:`ViewJob`."""
    partial = destination.with_name(f".{destination.name}.kiwinb-{os.urandom(4).hex()}")
    try:
        copy_tree(root, partial)
        sync_file_system(partial)
        partial.rename(destination)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@dataclass(frozen=True)
class ImportJob:
    """Import a directory into the store as a tree.

    Attributes:
        source: The directory.
        draft: The draft to fill; its key is the fingerprint of the directory.
    """

    source: Path
    draft: Draft


def fingerprint_tree(source: Path, _report: Report) -> Digest:
    """Return a digest of the metadata of all files in a directory, including change times."""
    return digest(tuple(_fingerprints(source)))


def import_tree(job: ImportJob, _report: Report) -> None:
    """Copy the directory into the draft and commit it.

    Raises:
        StoreError: The directory was changed while it was copied.
    """
    began = time.monotonic()
    with logs.recorded(_report.log, job.draft.directory) as log:
        log(f"importing {job.source}")
        copy_tree(job.source, job.draft.directory / "data")
    if fingerprint_tree(job.source, _report) != job.draft.key:
        raise StoreError(
            f"{job.source} was changed while it was read", remedy="Wait, and try again."
        )
    commit(job.draft, time.monotonic() - began)


@dataclass(frozen=True)
class CheckJob:
    """Compare all data of a checkpoint with its manifest.

    Attributes:
        directory: Directory of the checkpoint.
        manifest: SHA-256 of its manifest.
        data: The stamps of the data when the checkpoint was made.
    """

    directory: Path
    manifest: Digest
    data: Stamps


@dataclass(frozen=True)
class Checked:
    """The data of a checkpoint as they are now.

    Attributes:
        problems: Differences from the manifest, one line each.
        data: Their stamps.
    """

    problems: tuple[str, ...]
    data: Stamps


def check(job: CheckJob, _report: Report) -> Checked:
    """Read all data of a checkpoint."""
    try:
        manifest = read_regular(job.directory / MANIFEST)
        if hashlib.sha256(manifest).hexdigest() != job.manifest:
            return Checked((f"{MANIFEST}: its checksum is wrong",), job.data)
        now = survey(job.directory / "data")
        stamps = take_stamps(now.found)
        problems = compare(unpack(manifest), now.entries)
    except (OSError, ValueError, TypeError, LookupError, zlib.error) as error:
        return Checked((str(error),), job.data)
    if not problems and stamps.times != job.data.times:
        problems = ("modification times were changed",)
    return Checked(problems, stamps)


def scan_tree(root: Path, contents: bool, _report: Report) -> tuple[Entry, ...]:
    """List a tree; for :class:`ViewJob`."""
    return scan(root, contents=contents)


def remove(directories: Sequence[Path], _report: Report) -> None:
    """Remove directories recursively, and other things that are in their places.

    It ignores files that disappear meanwhile.
    """
    for directory in directories:
        if directory.is_symlink() or not directory.is_dir():
            directory.unlink(missing_ok=True)
            continue
        try:
            shutil.rmtree(directory, onerror=_retry_removal)
        except RecursionError:  # rm(1) has no limit
            run(["rm", "-rf", "--", directory])


def _retry_removal(function: Callable[..., Any], path: str, error: Any) -> None:
    if isinstance(error[1], FileNotFoundError):
        return
    raise error[1]


def _fingerprints(source: Path) -> Iterator[tuple[object, ...]]:
    top = os.fsencode(source)
    pending = [b""]
    yield _fingerprint(b"", os.lstat(top))
    with Reach(top) as reach:
        while pending:
            directory = pending.pop()
            with os.scandir(reach.path(directory, room=256)) as found:
                entries = sorted(found, key=lambda entry: entry.name)
            for entry in entries:
                path = os.path.join(directory, entry.name)  # noqa: PTH118 - bytes
                if entry.is_dir(follow_symlinks=False):
                    pending.append(path)
                yield _fingerprint(path, entry.stat(follow_symlinks=False))


def _fingerprint(path: bytes, status: os.stat_result) -> tuple[object, ...]:
    return (
        path,
        status.st_mode,
        status.st_uid,
        status.st_gid,
        0 if stat.S_ISDIR(status.st_mode) else status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
    )
