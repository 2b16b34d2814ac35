"""Watch what programs use of the host, and end those that use too much.

The kernel could do this with control groups, but not every host delegates them to every user. To
watch works on all hosts in the same way. Programs in a cage also are the first that the kernel
kills when memory runs out.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from kiwinb.errors import LimitError
from kiwinb.limits import Limits
from kiwinb.sizes import binary

_INTERVAL = 0.25  # seconds
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SHARE = 0.9  # of the host's memory
_FIRST_TO_KILL = "1000"

_current: ContextVar[tuple[Limits, Path | None]] = ContextVar("limits", default=(Limits(), None))


@contextmanager
def limited(limits: Limits, store: Path) -> Iterator[None]:
    """Set the limits of all programs that run in cages within the context.

    Args:
        limits: The limits.
        store: A directory on the file system whose free space is watched.
    """
    token = _current.set((limits, store))
    try:
        yield
    finally:
        _current.reset(token)


def limit_this_process() -> None:
    """Keep a new process from dumping core, and have the kernel kill it first without memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_KILL)


class Guard:
    """Watch over a program and all processes that it starts; a context manager.

    It ends with :class:`~kiwinb.errors.LimitError` if the program was killed because of a limit.
    """

    def __init__(self) -> None:
        self._limits, self._store = _current.get()
        self._over = threading.Event()
        self._problem: tuple[str, str] | None = None
        self._thread: threading.Thread | None = None
        self._before = _Room.of(self._store) if self._store else _Room(0, None)

    def follow(self, process: subprocess.Popen[bytes]) -> None:
        """Begin to watch a program."""
        self._thread = threading.Thread(target=self._watch, args=(process,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        if self._problem is not None and (kind is None or issubclass(kind, Exception)):
            problem, setting = self._problem
            raise LimitError(
                f"the program was ended because it {problem}",
                remedy="If that is what it is meant to do, raise the limit: "
                f"{setting} in the table [limits] of the settings.",
            ) from None

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + self._limits.seconds
        while not self._over.wait(_INTERVAL):
            self._problem = self._exceeded(process.pid, end)
            if self._problem is not None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                return

    def _exceeded(self, pid: int, end: float) -> tuple[str, str] | None:
        """Return what is exceeded, and the name of its setting."""
        limits = self._limits
        if time.monotonic() > end:
            return f"ran for more than {limits.seconds} seconds", "seconds"
        processes, memory = _usage(pid)
        if processes > limits.processes:
            return f"had more than {limits.processes} processes", "processes"
        allowed = limits.memory or int(_SHARE * _total_memory())
        if memory > allowed:
            return f"used more than {binary(allowed)} of memory", "memory"
        if self._store is None:
            return None
        return _exceeded_room(limits, self._before, _Room.of(self._store))


@dataclass(frozen=True)
class _Room:
    """What a file system has room for: bytes and, if it has a table of fixed size, files."""

    free: int
    files: int | None

    @staticmethod
    def of(directory: Path) -> _Room:
        status = os.statvfs(directory)
        files = status.f_favail if status.f_files else None
        return _Room(status.f_bavail * status.f_frsize, files)


def _exceeded_room(limits: Limits, before: _Room, now: _Room) -> tuple[str, str] | None:
    if limits.disk is not None and before.free - now.free > limits.disk:
        return f"wrote more than {binary(limits.disk)}", "disk"
    if now.free < limits.reserve < before.free:
        left = binary(limits.reserve)
        return f"left less than {left} free on the disk of the store", "reserve"
    if now.files is None or before.files is None:
        return None
    if limits.files is not None and before.files - now.files > limits.files:
        return f"made more than {limits.files} files", "files"
    if now.files < limits.reserved_files < before.files:
        left = f"room for less than {limits.reserved_files} more files"
        return f"left {left} on the disk of the store", "reserved-files"
    return None


def _usage(first: int) -> tuple[int, int]:
    """Return the number of threads of a process and its descendants, and their bytes of memory."""
    children: dict[int, list[tuple[int, int, int]]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue  # it has ended
        parent, threads, pages = int(fields[1]), int(fields[17]), int(fields[21])
        children.setdefault(parent, []).append((int(entry.name), threads, pages))
    total = [0, 0]
    waiting = [first]
    while waiting:
        for pid, threads, pages in children.get(waiting.pop(), ()):
            total[0] += threads
            total[1] += pages * _PAGE
            waiting.append(pid)
    return total[0], total[1]


def _total_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * _PAGE
