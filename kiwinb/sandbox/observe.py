"""Observe what a command reads: every path that it and all its children look up in a file system.

A seccomp filter, see seccomp_unotify(2), makes the kernel tell a thread of this process about each
system call that takes a path, before it happens. The thread notes the path and lets the call go on.
Results are not seen, and need not be: the tree that a command starts from can be asked later.

    with Observer() as observer:
        subprocess.run(command, preexec_fn=observer.enter)
    observation = observer.finish()

What cannot be observed makes the observation incomplete, and never stops the command.

A signal that comes just before a call is seen interrupts it: it is begun again, or fails with
``EINTR`` where the handler was set without ``SA_RESTART``. That is very rare, and counts as
incomplete.
"""

from __future__ import annotations

import array
import ctypes
import os
import socket
import struct
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from kiwinb.sandbox.notify import Channel, install
from kiwinb.sandbox.observation import Access, Observation
from kiwinb.sandbox.supervisor import MAGIC, Key, Supervisor
from kiwinb.sandbox.syscalls import meaning

_END_SECONDS = 2.0


class Observer:
    """Observes one command; a context manager.

    The process that calls :meth:`enter` and all that it starts from then on is observed.

    Args:
        mounts: Directories in which the process may mount and unmount file systems, but programs
            that it starts in another root directory may not. Any other mount makes the
            observation incomplete.
    """

    def __init__(self, mounts: Iterable[Path] = ()) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._mounts = tuple(os.fsencode(path) for path in mounts)
        self._supervisor: Supervisor | None = None
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._supervise, name="observer", daemon=True)

    def __enter__(self) -> Observer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._theirs.close()

    def enter(self) -> None:
        """Be observed from now on; for a new process, after ``chroot`` and before it executes.

        It does not fail: where the kernel does not allow it, the command runs unobserved.
        """
        try:
            listener = install(self._libc)
        except (OSError, KeyError) as error:
            with suppress(OSError):
                self._theirs.send(f"the kernel does not allow it: {error}".encode())
            return
        descriptors = array.array("i", [listener])
        self._theirs.sendmsg(
            [struct.pack("=I", os.getpid())],
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)],
        )
        os.close(listener)

    def finish(self) -> Observation:
        """What was read; to be called when the command has ended."""
        self._theirs.close()
        self._thread.join(_END_SECONDS)
        left = self._thread.is_alive()  # it goes on answering them
        supervisor = self._supervisor
        if supervisor is None:
            return Observation(incomplete=(self._problem or "it was not started",))
        reasons = set(supervisor.incomplete)
        if left:
            reasons.add("processes that the command left behind")
        if self._problem:
            reasons.add(self._problem)
        if supervisor.interrupted:
            reasons.add("a signal interrupted a system call before it was seen")
        reasons |= {
            f"a path through {os.fsdecode(path)}"
            for _root, path, _what, _flags in supervisor.seen.copy()
            if b"/proc/" in path and (magic := MAGIC.match(path)) and magic[1]
        }
        if left:
            return Observation((), (), supervisor.notifications, tuple(sorted(reasons)))
        return Observation(
            tuple(sorted(_accesses(supervisor.seen))),
            tuple(supervisor.links),
            supervisor.notifications,
            tuple(sorted(reasons)),
        )

    def _supervise(self) -> None:
        listener = -1
        with self._ours:
            try:
                data, descriptors, _flags, _address = socket.recv_fds(self._ours, 4096, 1)
                if not descriptors:
                    self._problem = data.decode() or None
                    return
                (listener,) = descriptors
                self._supervisor = Supervisor(listener, struct.unpack("=I", data)[0], self._mounts)
            except Exception as error:
                self._problem = f"{type(error).__name__}: {error}"
                if listener >= 0:
                    Channel(listener).wave_through()
                    os.close(listener)
                return
        self._supervisor.run()
        self._supervisor.close()


def _accesses(seen: Iterable[Key]) -> set[Access]:
    return {
        Access(path, kind, follow, root)
        for root, path, what, flags in seen
        for kind, follow in meaning(what, flags)
    }
