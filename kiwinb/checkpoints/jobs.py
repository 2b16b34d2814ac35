"""Jobs of the store that touch trees; they run in workers, because owners need a mapped root.

Each job is frozen data and a function on module level, for :func:`kiwinb.sandbox.worker.call`.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import signal
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from kiwinb.checkpoints import logs
from kiwinb.checkpoints.backend import Backend, BackendName, copy_tree, make_place
from kiwinb.checkpoints.checkpoint import FILE, Checkpoint, read_checkpoint, write_checkpoint
from kiwinb.checkpoints.copies import Copies
from kiwinb.checkpoints.manifest import MANIFEST, pack, unpack
from kiwinb.checkpoints.overlay import Overlay, try_overlay
from kiwinb.checkpoints.space import build_places, explained_space
from kiwinb.checkpoints.treescan import Entry, compare, scan, survey
from kiwinb.errors import StoreError
from kiwinb.sandbox.devices import DEVICE_ATTRIBUTE
from kiwinb.sandbox.shield import shield_host
from kiwinb.sandbox.worker import Report
from kiwinb.steps.keys import Digest, digest
from kiwinb.steps.step import Action, HostPaths, Output, StepContext
from kiwinb.version import __version__

BACKENDS: Mapping[BackendName, Backend] = {"overlay": Overlay(), "copy": Copies()}
"""All backends, by name."""

A = TypeVar("A")
R = TypeVar("R")


@dataclass(frozen=True)
class TreeRef:
    """A tree in the store.

    Attributes:
        backend: Name of the store's backend.
        layers: Its ``data`` directories, the oldest first; empty for the empty tree.
        mnt: The store's mount point, for the worker alone.
    """

    backend: BackendName
    layers: tuple[Path, ...]
    mnt: Path


@dataclass(frozen=True)
class Draft:
    """A checkpoint in the making.

    Attributes:
        directory: Its directory, on the file system of the store.
        destination: Where it moves when it is complete.
        checkpoint: Its metadata.
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


@dataclass(frozen=True)
class StepJob:
    """Run an action and keep its result.

    Attributes:
        action: The action.
        tree: The tree that the action continues or reads.
        draft: The draft for its result.
        inputs: The files that it reads, by step name.
        host: Places on the host.
        rootless: Whether it runs in a user namespace.
        needed: The approximate size of its result in bytes, if known.
    """

    action: Action
    tree: TreeRef
    draft: Draft
    inputs: Mapping[str, Path]
    host: HostPaths
    rootless: bool
    needed: int | None = None


def run_step(job: StepJob, report: Report) -> Checkpoint:
    """Run the action, and commit its result."""
    began = time.monotonic()
    store = job.tree.mnt.parent
    shield_host((store, job.host.cache, Path(tempfile.gettempdir())))
    directory = job.draft.directory
    with explained_space(build_places(store, job.host.cache), needed=job.needed) as watch:
        with logs.recorded(report.log, directory) as log:

            def take(line: str) -> None:
                watch.see(line)
                log(line)

            _act(job, take, report.progress)
        for name in ("scratch", "work"):
            with suppress(FileNotFoundError):
                shutil.rmtree(directory / name)
        return commit(job.draft, time.monotonic() - began)


def _act(job: StepJob, log: Callable[[str], None], progress: Callable[[float], None]) -> None:
    """Run the action in a tree, or with a directory for its files."""
    backend = BACKENDS[job.tree.backend]
    place = make_place(job.tree.mnt)
    directory = job.draft.directory
    out: Path | None = None
    if job.draft.output == "files":
        out = directory / "data"
        out.mkdir(0o755)
        shown = backend.scratch(job.tree.layers, directory, place)
    else:
        shown = backend.work(job.tree.layers, directory, place)
    with shown as root:
        job.action.run(
            StepContext(
                root=root,
                out=out,
                inputs=job.inputs,
                host=job.host,
                log=log,
                progress=progress,
                rootless=job.rootless,
            )
        )
        _end_other_processes()


def commit(draft: Draft, seconds: float) -> Checkpoint:
    """Record the contents of the draft, and move it to its destination in one step."""
    directory = draft.directory
    logs.pack_log(directory)
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
    )
    write_checkpoint(checkpoint, directory)
    for written in (directory / MANIFEST, directory / FILE, directory):
        _sync(written)
    directory.rename(draft.destination)
    for parent in (draft.destination.parent, directory.parent):
        _sync(parent)
    return checkpoint


def _digests(entries: Sequence[Entry]) -> dict[str, Digest]:
    """SHA-256 of each file, by path; leaves out paths that are not text."""
    found = {}
    for entry in entries:
        if entry.kind == "file":
            with suppress(UnicodeDecodeError):
                found[entry.path.decode()] = entry.sha256
    return found


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
        _end_other_processes()
        return result


def export_tree(root: Path, destination: Path, _report: Report) -> None:
    """Copy a tree out of the store to the place that the user named; for :class:`ViewJob`."""
    partial = destination.with_name(f".{destination.name}.kiwinb-{os.urandom(4).hex()}")
    try:
        copy_tree(root, partial)
        _sync_file_system(partial)
        partial.rename(destination)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@dataclass(frozen=True)
class ImportJob:
    """Take a directory into the store as a tree.

    Attributes:
        source: The directory.
        draft: The draft to fill; its key is the fingerprint of the directory.
    """

    source: Path
    draft: Draft


def fingerprint_tree(source: Path, _report: Report) -> Digest:
    """A digest that changes whenever anything in the directory does."""
    return digest(tuple(_fingerprints(source)))


def import_tree(job: ImportJob, _report: Report) -> Checkpoint:
    """Copy the directory and commit it."""
    began = time.monotonic()
    with logs.recorded(_report.log, job.draft.directory) as log:
        log(f"importing {job.source}")
        copy_tree(job.source, job.draft.directory / "data")
    if fingerprint_tree(job.source, _report) != job.draft.key:
        raise StoreError(
            f"{job.source} was changed while it was read", remedy="Wait, and try again."
        )
    return commit(job.draft, time.monotonic() - began)


def verify(directory: Path, _report: Report) -> tuple[str, ...]:
    """Compare the data of a checkpoint with its manifest."""
    try:
        checkpoint = read_checkpoint(directory)
        manifest = (directory / MANIFEST).read_bytes()
    except (OSError, StoreError) as error:
        return (str(error),)
    if hashlib.sha256(manifest).hexdigest() != checkpoint.manifest:
        return (f"{MANIFEST}: its checksum is wrong",)
    try:
        now = scan(directory / "data")
    except OSError as error:
        return (str(error),)
    return compare(unpack(manifest), now)


def scan_tree(root: Path, contents: bool, _report: Report) -> tuple[Entry, ...]:
    """List a tree; for :class:`ViewJob`."""
    return scan(root, contents=contents)


def remove(directories: Sequence[Path], _report: Report) -> None:
    """Remove directories recursively; ignores files that disappear meanwhile."""
    for directory in directories:
        shutil.rmtree(directory, onerror=_retry_removal)


def _retry_removal(function: Callable[..., Any], path: str, error: Any) -> None:
    if isinstance(error[1], FileNotFoundError):
        return
    raise error[1]


@dataclass(frozen=True)
class TrialJob:
    """Find out which backends the store's file system supports."""

    directory: Path
    mnt: Path
    rootless: bool


def try_backend(job: TrialJob, _report: Report) -> str:
    """Try out the file system of a new store.

    Returns:
        Why ``overlay`` does not work there; empty if it works.

    Raises:
        StoreError: No backend works there.
    """
    place = make_place(job.mnt)
    probe = job.directory / "probe"
    try:
        probe.touch()
        if job.rootless:
            os.setxattr(probe, DEVICE_ATTRIBUTE, b"c:1:3")
        os.chown(probe, 12345, 12345)
        probe.chmod(0o4755)
        if os.statvfs(probe).f_flag & os.ST_NOEXEC:
            raise StoreError(
                f"the file system of {job.mnt.parent} is mounted noexec", remedy=_ELSEWHERE
            )
    except OSError as error:
        raise StoreError(
            f"the file system of {job.mnt.parent} does not keep owners and attributes: {error}",
            remedy=_ELSEWHERE,
        ) from error
    return try_overlay(job.directory, place)


_ELSEWHERE = "Put the store on a local Linux file system such as ext4, XFS or Btrfs."


def _fingerprints(source: Path) -> Iterator[tuple[object, ...]]:
    top = os.fsencode(source)
    pending = [b""]
    yield _fingerprint(b"", os.lstat(top), top)
    while pending:
        directory = pending.pop()
        with os.scandir(os.path.join(top, directory)) as found:  # noqa: PTH118 - bytes
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            path = os.path.join(directory, entry.name)  # noqa: PTH118 - bytes
            if entry.is_dir(follow_symlinks=False):
                pending.append(path)
            yield _fingerprint(path, entry.stat(follow_symlinks=False), entry.path)


def _fingerprint(path: bytes, status: os.stat_result, full: bytes) -> tuple[object, ...]:
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


def _end_other_processes() -> None:
    """Kill all other processes in our namespace, so that nothing writes any more."""
    own = {1, os.getpid()}
    while left := {int(p.name) for p in Path("/proc").iterdir() if p.name.isdecimal()} - own:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reap_children()
        time.sleep(0.005)


def _reap_children() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


@contextmanager
def _syncing(path: Path) -> Iterator[None]:
    """Sync a file system in the background; the sync is complete when the context ends.

    Raises:
        OSError: It cannot be synced.
    """
    failed: list[OSError] = []

    def sync() -> None:
        try:
            _sync_file_system(path)
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=sync)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if failed:
        raise failed[0]


def _sync_file_system(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
