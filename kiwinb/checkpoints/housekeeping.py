"""Keep a checkpoint store tidy: drafts and what builds leave behind, removal, and damage."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from kiwinb.checkpoints import jobs, logs
from kiwinb.checkpoints.checkpoint import Checkpoint
from kiwinb.checkpoints.contents import StoreContents
from kiwinb.checkpoints.inspector import inspect
from kiwinb.checkpoints.locks import locked, try_lock
from kiwinb.checkpoints.seal import SEAL
from kiwinb.errors import StoreError
from kiwinb.sandbox.worker import call
from kiwinb.steps.keys import Digest


@contextmanager
def draft_directory(store: StoreContents) -> Iterator[Path]:
    """Make a directory for a draft, locked by this process; remove it if it is left at the end."""
    directory = store.path / "drafts" / f"{os.getpid()}-{secrets.token_hex(4)}"
    with ExitStack() as stack:
        stack.callback(_discard_left, store, directory)
        with _sorting_drafts(store):
            directory.mkdir(0o755)
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            try_lock(descriptor)
        yield directory


def _sorting_drafts(store: StoreContents) -> AbstractContextManager[None]:
    """Lock drafts, so that no cleaner looks at a draft between its creation and its lock."""
    return locked(store.lock("drafts"), what="the list of drafts")


def _discard_left(store: StoreContents, directory: Path) -> None:
    if directory.exists():
        discard(store, [directory])


def clean(store: StoreContents) -> None:
    """Remove the leftovers of builds that died, and old logs."""
    with _sorting_drafts(store):
        for draft in (store.path / "drafts").iterdir():
            with suppress(FileNotFoundError):
                if not _is_live(draft):
                    draft.rename(store.path / "trash" / draft.name)
    logs.remove_old(store.failed_logs)
    _empty_trash(store)


def _is_live(draft: Path) -> bool:
    """Whether the process that made a draft still holds its lock."""
    try:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(draft, flags)
    except NotADirectoryError:  # no draft
        return False
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)


def discard(store: StoreContents, directories: Iterable[Path]) -> None:
    """Move directories out of the store at once, then remove them."""
    for directory in directories:
        name = f"{directory.name}-{secrets.token_hex(4)}"
        with suppress(FileNotFoundError):
            directory.rename(store.path / "trash" / name)
    _empty_trash(store)


def _empty_trash(store: StoreContents) -> None:
    if trash := tuple((store.path / "trash").iterdir()):
        call(jobs.remove, trash, privilege=store.privilege)


def remove(store: StoreContents, keys: Iterable[Digest], timeout: float) -> tuple[Checkpoint, ...]:
    """Remove checkpoints; see :meth:`~kiwinb.checkpoints.store.Store.remove`."""
    with store.alone(timeout):
        present = store.list()
        doomed = {*keys}
        while more := {c.key for c in present if store.needed_by(c) & doomed} - doomed:
            doomed |= more
        discard(store, [store.object(key) for key in doomed if os.path.lexists(store.object(key))])
        return tuple(checkpoint for checkpoint in present if checkpoint.key in doomed)


def shrink(
    store: StoreContents, limit: int | None, keep: Collection[Digest], timeout: float
) -> tuple[Checkpoint, ...]:
    """Remove old checkpoints; see :meth:`~kiwinb.checkpoints.store.Store.gc`.

    Args:
        store: The store.
        limit: The limit in bytes; ``None`` for no limit.
        keep: Keys of checkpoints to keep.
        timeout: Seconds to wait for builds that use the store.
    """
    with store.alone(timeout):
        clean(store)
        logs.remove_old(store.failed_logs, every=limit == 0)
        left = [*store.list()]
        gone: list[Checkpoint] = []
        while limit is not None and sum(item.bytes for item in left) > limit:
            needed = {*keep}.union(*(store.needed_by(item) for item in left))
            free = [item for item in left if item.key not in needed]
            if not free:
                break
            left.remove(free[0])
            gone.append(free[0])
        useless = damaged(store)
        discard(store, [store.object(key) for key in (*useless, *(item.key for item in gone))])
        return tuple(gone)


def verify(store: StoreContents, key: Digest) -> tuple[str, ...]:
    """Find damage in a checkpoint, and let no build use a damaged one.

    See :meth:`~kiwinb.checkpoints.store.Store.verify`.
    """
    with store.in_use():
        if not os.path.lexists(store.object(key)):
            return (f"the store holds no checkpoint {key[:12]}",)
        found = inspect(store, key, thorough=True)
        if found:
            break_seal(store, key)
        return found or damaged_base(store, key)


def damaged_base(store: StoreContents, key: Digest) -> tuple[str, ...]:
    """Tell whether a checkpoint, undamaged itself, is based on one that is not."""
    try:
        store.chain(store.get(key))
    except StoreError as error:
        return (f"it needs another checkpoint: {error.problem}",)
    return ()


def break_seal(store: StoreContents, key: Digest) -> None:
    """Let no build use a checkpoint any more, so that the next one makes it again."""
    with suppress(OSError):
        (store.object(key) / SEAL).unlink()


def damaged(store: StoreContents) -> tuple[Digest, ...]:
    """The names of all objects whose metadata cannot be used."""
    present = {checkpoint.key for checkpoint in store.list()}
    return tuple(sorted({entry.name for entry in (store.path / "objects").iterdir()} - present))
