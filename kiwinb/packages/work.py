"""Private directories of runs of package managers, which nobody but their process uses."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def private_directory(parent: Path) -> Iterator[Path]:
    """Make a private directory next to the pool, so that copies can share blocks with it.

    What a process that was killed has left, which may be passwords, is removed at once: nobody
    holds its lock.

    Args:
        parent: Directory in the cache.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        with _locked_directory(parent, fcntl.LOCK_EX):
            for directory in parent.iterdir():
                with _locked_directory(directory, fcntl.LOCK_EX | fcntl.LOCK_NB) as abandoned:
                    if abandoned:
                        shutil.rmtree(directory, ignore_errors=True)
            made = tempfile.TemporaryDirectory(dir=parent, ignore_cleanup_errors=True)
            work = Path(stack.enter_context(made))
            stack.enter_context(_locked_directory(work, fcntl.LOCK_EX))
        yield work


@contextmanager
def _locked_directory(directory: Path, operation: int) -> Iterator[bool]:
    """Lock a directory; tell whether that is possible, which it is not on NFS."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield False
        return
    try:
        yield _is_locked(descriptor, operation)
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation)
    except OSError:
        return False
    return True
