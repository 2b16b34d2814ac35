"""File locks (flock(2)) that end with their process, however that ends."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kiwinb.errors import StoreError

_POLL_SECONDS = 0.1
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextmanager
def locked(
    path: Path,
    *,
    what: str,
    shared: bool = False,
    timeout: float | None = None,
    on_wait: Callable[[str], None] = lambda holder: None,
    on_poll: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Hold a lock.

    Args:
        path: The lock file; it is created if necessary and never removed.
        what: Name of the locked thing, for messages.
        shared: Take a shared lock, which others may hold at the same time.
        timeout: Seconds to wait for others; ``None`` to wait for ever.
        on_wait: Called once with the holder of the lock, if it has to wait.
        on_poll: Called repeatedly while it waits; an exception from it ends the wait.

    Raises:
        StoreError: Another process held the lock for the whole timeout, or the file system has no
            locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = None if timeout is None else time.monotonic() + timeout
        told = False
        while not _lock_named(descriptor, path, shared=shared):
            if deadline is not None and time.monotonic() >= deadline:
                raise StoreError(
                    f"{what} is in use by {holders(path)}",
                    remedy="Wait until that has ended, and try again.",
                )
            if not told:
                on_wait(holders(path))
                told = True
            on_poll()
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _lock_named(descriptor: int, path: Path, *, shared: bool) -> bool:
    try:
        return try_lock(descriptor, shared=shared)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise StoreError(
            f"the file system of {path.parent} has no file locks: {error.strerror}",
            remedy="Put it on a local Linux file system such as ext4, XFS or Btrfs, or mount it "
            "with locks; see flock(2).",
        ) from error


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file or directory, unless somebody else holds it."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def holders(path: Path) -> str:
    """A description of the holder of the lock, from /proc/locks (proc(5))."""
    status = path.stat()
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    pids = set()
    try:
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if fields[1] == "FLOCK" and fields[5] == place:
                pids.add(int(fields[4]))
    except (OSError, IndexError, ValueError):
        pass
    if not pids:
        return "another process"
    if len(pids) == 1:
        return f"process {min(pids)}"
    return f"processes {', '.join(map(str, sorted(pids)))}"
