"""Launch workers: the caller's side of :mod:`kiwinb.sandbox.forkserver`."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from kiwinb.sandbox.cancellation import close_input
from kiwinb.sandbox.environment import worker_environment
from kiwinb.sandbox.events import frame
from kiwinb.sandbox.forkserver import ENDED, STARTED
from kiwinb.sandbox.keeper import Setup
from kiwinb.sandbox.privilege import Privilege
from kiwinb.sandbox.streams import memory_file, tail

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from kiwinb.sandbox.forkserver import main; main()"
)
_END_SECONDS = 30.0


class Launcher:
    """Launcher of workers: forks them from one process, which imports their modules only once.

    A context manager; several threads may use it at the same time. The process starts with the
    first worker, and ends with the context.

    Args:
        modules: Names of modules that workers need. They must not start threads.
    """

    def __init__(self, modules: Iterable[str] = ()) -> None:
        self._modules = tuple(modules)
        self._lock = threading.Lock()
        self._server: _Server | None = None

    def __enter__(self) -> Launcher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            if self._server is not None:
                self._server.close()
                self._server = None

    @contextmanager
    def launch(self, privilege: Privilege) -> Iterator[Worker]:
        """Launch a worker, which ends with the context."""
        server = self._running()
        with ExitStack() as ours:
            with ExitStack() as theirs:
                given, input = _pipe(theirs, ours)
                events, told = _pipe(ours, theirs)
                output = ours.enter_context(memory_file())
                directory = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                theirs.callback(os.close, directory)
                answers, answering = socket.socketpair(type=socket.SOCK_SEQPACKET)
                theirs.enter_context(answering)
                ours.enter_context(answers)
                parts = (given.fileno(), told.fileno(), output.fileno(), directory)
                server.request((*parts, answering.fileno()))
            worker = Worker(server, input, events, output, answers)
            ours.callback(worker.close)
            worker.say(frame(_setup(privilege)))
            yield worker

    def _running(self) -> _Server:
        with self._lock:
            if self._server is not None and self._server.is_dead():
                self._server.close()
                self._server = None
            if self._server is None:
                self._server = _Server(self._modules)
            return self._server


class Worker:
    """A running worker.

    Attributes:
        input: Standard input of the worker, which ends when this is closed.
        events: Pipe with the worker's events; see :mod:`kiwinb.sandbox.events`.
    """

    def __init__(
        self,
        server: _Server,
        input: IO[bytes],
        events: IO[bytes],
        output: IO[bytes],
        answers: socket.socket,
    ) -> None:
        self.input = input
        self.events = events
        self._server = server
        self._output = output
        self._answers = answers
        self._pid = 0
        self._process = -1
        self._status: int | None = None

    def say(self, data: bytes) -> None:
        """Write to its standard input, if it still runs and no other thread closed the input."""
        with suppress(BrokenPipeError, ValueError):
            self.input.write(data)
            self.input.flush()

    @property
    def pid(self) -> int:
        """Its process id; 0 if it was never started."""
        if not self._pid:
            self._answers.settimeout(_END_SECONDS)
            try:
                data, descriptors, *_ = socket.recv_fds(self._answers, STARTED.size, 1)
            except TimeoutError:
                self._server.kill()
                data = b""
            except ConnectionResetError:
                data = b""
            if data:
                (self._pid,) = STARTED.unpack(data)
                (self._process,) = descriptors
                os.set_inheritable(self._process, False)  # recv_fds() ignores MSG_CMSG_CLOEXEC
        return self._pid

    def ending(self) -> tuple[int, str]:
        """Wait until it has ended.

        Returns:
            Its exit status, or the negative number of the signal that killed it; and the last
            part of its standard output and standard error.
        """
        self._wait()
        if self._status is None:
            return self._server.ending()
        return self._status, tail(self._output)

    def close(self) -> None:
        """End it, and wait until all processes that it started have ended."""
        close_input(self.input)
        self._wait()
        if self._process >= 0:
            os.close(self._process)
            self._process = -1

    def _wait(self) -> None:
        if self._status is not None or not self.pid:
            return
        answer = self._answer(_END_SECONDS)
        if answer is None:
            signal.pidfd_send_signal(self._process, signal.SIGKILL)
            answer = self._answer(None)
        if answer:
            (self._status,) = ENDED.unpack(answer)
        else:  # the process that forked it was killed, so that the kernel kills it too
            select.select([self._process], [], [], _END_SECONDS)

    def _answer(self, timeout: float | None) -> bytes | None:
        """Return the last answer; empty if there will be none, ``None`` after the timeout."""
        self._answers.settimeout(timeout)
        try:
            return self._answers.recv(ENDED.size)
        except TimeoutError:
            return None
        except ConnectionResetError:
            return b""


class _Server:
    """A process that forks workers."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._output = memory_file()
        self._requests, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-c", _BOOT, json.dumps(_module_path())),
                    *(str(os.getpid()), *modules),
                ],
                stdin=theirs.fileno(),
                stdout=self._output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=_environment(),
            )

    def is_dead(self) -> bool:
        return self._process.poll() is not None

    def request(self, descriptors: Sequence[int]) -> None:
        """Request a worker; if the process has died, the worker's pipes are closed."""
        try:
            socket.send_fds(self._requests, [b"+"], descriptors)
        except (BrokenPipeError, ConnectionResetError):
            pass
        except OSError as error:
            if error.errno != errno.EBADF:  # another thread saw that it died, and closed it
                raise

    def ending(self) -> tuple[int, str]:
        """Wait until this process has ended; results as for :meth:`Worker.ending`."""
        status = self._process.wait(_END_SECONDS)
        return status, "" if self._output.closed else tail(self._output)

    def kill(self) -> None:
        """Kill it and all its workers."""
        self._process.kill()

    def close(self) -> None:
        self._requests.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self._output.close()


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    reading, writing = os.pipe()
    return (
        reader.enter_context(os.fdopen(reading, "rb")),
        writer.enter_context(os.fdopen(writing, "wb")),
    )


def _setup(privilege: Privilege) -> Setup:
    return Setup(privilege.rootless, bool(privilege.uids), _module_path(), worker_environment())


def _module_path() -> tuple[str, ...]:
    return tuple(entry or str(Path.cwd()) for entry in sys.path)


def _environment() -> dict[str, str]:
    """The environment of this Python itself, which may not start without the user's variables."""
    return {**os.environ, **worker_environment()}
