"""Observe which paths a command and its children read.

A seccomp filter (see seccomp_unotify(2)) makes the kernel notify a thread of this process of each
system call that takes a path, before the call happens. The thread records the path and lets the
call continue. It does not see what a call returns, but that can be found out later from the tree
that the command started with.

    with Observer() as observer:
        subprocess.run(command, preexec_fn=observer.enter)
    observation = observer.finish()

If something cannot be observed, the observation is incomplete, but the command continues.

A signal that arrives just before the thread receives a call interrupts that call. The kernel then
restarts the call, or lets it fail with ``EINTR`` if the handler was set without ``SA_RESTART``.
This is very rare, and makes the observation incomplete.
"""

from __future__ import annotations

import array
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
    """Observer of a command; a context manager.

    It observes the process that calls :meth:`enter`, and all processes that this one starts.

    Args:
        caged: A tree whose programs run in a cage; see :class:`Supervisor`.
    """

    def __init__(self, caged: Path | None = None) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._caged = caged
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
        """Observe this process from now on.

        A new process calls this after ``chroot`` and before it executes the command. If the kernel
        does not allow it, the command runs unobserved, and the observation is incomplete.
        """
        try:
            listener = install()
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
        """Return the observation; call this once the command has ended."""
        self._theirs.close()
        self._thread.join(_END_SECONDS)
        left = self._thread.is_alive()  # it keeps answering remaining processes
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
                (pid,) = struct.unpack("=I", data)
                self._supervisor = Supervisor(listener, pid, self._caged)
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
