"""Worker: one call of one function, as root in namespaces of its own.

The parent starts this module in a new process, which becomes three:

* the *keeper* enters the namespaces and watches over its standard input, a
  pipe from the parent. When that closes, or the keeper or the parent dies,
  the kernel kills everything in the process namespace;
* the *init* is process 1 of the process namespace and reaps orphans;
* the *callee* runs the function and writes pickled events to a second pipe.

The keeper ends after everything else has, so when it is reaped nothing that
the function started is left, and all mounts are gone.
"""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn, TypeVar

from kiwinb.errors import HostError, KiwinbError
from kiwinb.sandbox.mounts import (
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    is_denied,
    mount,
)
from kiwinb.sandbox.privilege import IdRange, Privilege, detect, namespaces_denied
from kiwinb.sandbox.tools import find_tool, search_path

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUTS = 0x04000000
_CLONE_NEWIPC = 0x08000000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWPID = 0x20000000
_PR_SET_PDEATHSIG = 1

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from kiwinb.sandbox.worker import main; main()"
)
_END_SECONDS = 30.0
_OUTPUT_TAIL = 4000
_ENDED = (BrokenPipeError, ValueError)
"""What writing to a worker raises that ended, or whose standard input another thread closed."""

A = TypeVar("A")
R = TypeVar("R")


class Report:
    """How a function in a worker tells its caller how it goes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def log(self, line: str) -> None:
        """One line of output, without line end."""
        self._send("log", line)

    def progress(self, fraction: float) -> None:
        """How much is done, 0.0 to 1.0."""
        self._send("progress", fraction)

    def _send(self, kind: str, value: object) -> None:
        frame = pickle.dumps((kind, value))
        data = memoryview(struct.pack("=Q", len(frame)) + frame)
        while data:
            data = data[os.write(self._descriptor, data) :]


class Cancelled(Exception):
    """Another thread ended the call."""


class Cancellation:
    """Lets one thread end the calls that others wait for, and all that these calls started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._inputs: set[IO[bytes]] = set()

    def cancel(self) -> None:
        """End all calls that are made with this object, now and later."""
        with self._lock:
            self._cancelled = True
            for stream in self._inputs:
                _close(stream)

    def check(self) -> None:
        """Raise :class:`Cancelled` once it is cancelled."""
        if self._cancelled:
            raise Cancelled

    @contextmanager
    def closing(self, stream: IO[bytes]) -> Iterator[None]:
        """Close the standard input of a worker, which ends it, if it is cancelled meanwhile.

        Raises:
            Cancelled: It was cancelled.
        """
        with self._lock:
            self.check()
            self._inputs.add(stream)
        try:
            yield
        finally:
            with self._lock:
                self._inputs.remove(stream)


def call(
    function: Callable[[A, Report], R],
    argument: A,
    *,
    on_log: Callable[[str], None] = lambda line: None,
    on_progress: Callable[[float], None] = lambda fraction: None,
    privilege: Privilege | None = None,
    cancellation: Cancellation | None = None,
) -> R:
    """Call ``function(argument, report)`` as root in new namespaces, in a new process.

    When this process is interrupted or dies, everything that the function started dies too.

    Args:
        function: A function on module level of an importable module.
        argument: Anything that can be pickled.
        on_log: Takes each line that the function reports.
        on_progress: Takes each fraction that it reports.
        privilege: How to become root; found out when not given.
        cancellation: Lets another thread end the call.

    Returns:
        What the function returned.

    Raises:
        KiwinbError: What the function raised; so do all other exceptions.
        HostError: The host does not allow namespaces.
        Cancelled: Another thread ended the call.
    """
    privilege = privilege or detect()
    cancellation = cancellation or Cancellation()
    reading, writing = os.pipe()
    with (
        exit_on_termination(),
        os.fdopen(reading, "rb") as events,
        tempfile.TemporaryFile() as output,
    ):
        try:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-c", _BOOT),
                    json.dumps([entry or str(Path.cwd()) for entry in sys.path]),
                    *(str(writing), str(os.getpid())),
                    *("rootless" if privilege.rootless else "root",),
                    *("map" if privilege.uids else "as-is",),
                ],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(writing,),
                start_new_session=True,
                env={**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC0", "PATH": search_path()},
            )
        finally:
            os.close(writing)
        assert process.stdin is not None
        try:
            with cancellation.closing(process.stdin):
                job = (function, argument)
                ended = _follow(process, events, job, privilege, on_log, on_progress)
        finally:
            _close(process.stdin)
            _reap(process)
        if ended is None:
            cancellation.check()
            output.seek(max(0, output.tell() - _OUTPUT_TAIL))
            said = output.read().decode("utf-8", "replace").strip()
            raise _died(function, process.returncode, said)
    kind, value = ended
    if kind == "error":
        raise value
    return value  # type: ignore[no-any-return]


def probe(privilege: Privilege | None = None) -> None:
    """Try whether workers can run on this host.

    Raises:
        HostError: They cannot.
    """
    call(_do_nothing, None, privilege=privilege)


def _do_nothing(_argument: None, _report: Report) -> None:
    pass


@contextmanager
def exit_on_termination() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into ``SystemExit``, so that clean-up code runs."""

    def leave(number: int, _frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _follow(
    process: subprocess.Popen[bytes],
    events: IO[bytes],
    job: tuple[object, object],
    privilege: Privilege,
    on_log: Callable[[str], None],
    on_progress: Callable[[float], None],
) -> tuple[str, Any] | None:
    """Feed the worker and read its events; the last one, or ``None`` if it died before."""
    assert process.stdin is not None
    frame = pickle.dumps(job)
    while len(header := events.read(8)) == 8:
        kind, value = pickle.loads(events.read(struct.unpack("=Q", header)[0]))
        if kind == "log":
            on_log(value)
        elif kind == "progress":
            on_progress(value)
        elif kind == "map":
            _map_ids(process.pid, privilege)
            with suppress(*_ENDED):
                process.stdin.write(b"\n")
                process.stdin.flush()
        elif kind == "ready":
            with suppress(*_ENDED):
                process.stdin.write(struct.pack("=Q", len(frame)) + frame)
                process.stdin.flush()
        else:
            return kind, value
    _reap(process)  # it ends by itself, with the status of whatever went wrong
    return None


def _map_ids(pid: int, privilege: Privilege) -> None:
    for tool, ranges in (("newuidmap", privilege.uids), ("newgidmap", privilege.gids)):
        done = subprocess.run(
            [find_tool(tool), str(pid), *_numbers(ranges)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise HostError(
                f"{tool} does not map this user's subordinate ids: {done.stderr.strip()}",
                remedy="Compare /etc/subuid and /etc/subgid with subuid(5); "
                f"{find_tool(tool)} must be setuid root or have file capabilities.",
            )


def _numbers(ranges: Sequence[IdRange]) -> Iterator[str]:
    for item in ranges:
        yield from (str(item.inside), str(item.outside), str(item.count))


def _close(stream: IO[bytes]) -> None:
    with suppress(BrokenPipeError):
        stream.close()


def _reap(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _died(function: Callable[..., object], status: int, said: str) -> KiwinbError:
    signal_number = -status if status < 0 else status - 128
    if signal_number == signal.SIGKILL:
        return HostError(
            "the worker process was killed",
            remedy="The host ran out of memory, most likely.",
        )
    name = getattr(function, "__name__", "function")
    return HostError(f"the worker process ended early in {name} (status {status}): {said}")


# --- in the new process -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Setup:
    events: int
    parent: int
    rootless: bool
    maps: bool


def main() -> NoReturn:
    """The new process: keeper, init and callee."""
    setup = _Setup(
        int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "rootless", sys.argv[5] == "map"
    )
    report = Report(setup.events)
    _die_with(setup.parent)
    os.umask(0o022)
    try:
        if setup.maps:
            _unshare(_CLONE_NEWUSER)
            report._send("map", None)
            if os.read(0, 1) != b"\n":
                os._exit(1)
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            _die_with(setup.parent)
        _unshare(_CLONE_NEWNS | _CLONE_NEWPID | _CLONE_NEWIPC | _CLONE_NEWUTS)
    except OSError as error:
        report._send("error", namespaces_denied(error, rootless=setup.rootless))
        os._exit(1)
    alive, keeper_end = os.pipe()
    init = os.fork()
    if init == 0:
        os.close(keeper_end)
        _run_init(setup, report, alive)
    os.close(alive)
    os.close(setup.events)
    _keep(init)


def _keep(init: int) -> NoReturn:
    """Wait for the init, and kill it when the parent closes our standard input."""
    watch = select.poll()
    watch.register(0, 0)  # tells of the other end's closing only
    watch.register(os.pidfd_open(init), select.POLLIN)
    if any(descriptor == 0 for descriptor, _event in watch.poll()):
        os.kill(init, signal.SIGKILL)
    _pid, status = os.waitpid(init, 0)
    os._exit(_exit_status(status))


def _run_init(setup: _Setup, report: Report, alive: int) -> NoReturn:
    _prctl_death_signal()
    if select.select([alive], [], [], 0)[0]:
        os._exit(1)  # the keeper died before it could take us along
    try:
        mount("none", "/", None, MS_REC | MS_PRIVATE)
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        socket.sethostname("localhost")
    except OSError as error:
        denied = is_denied(error)
        report._send(
            "error", namespaces_denied(error, rootless=setup.rootless) if denied else error
        )
        os._exit(1)
    callee = os.fork()
    if callee == 0:
        _run_callee(report)
    os.close(setup.events)
    while True:
        pid, status = os.wait()
        if pid == callee:
            os._exit(_exit_status(status))


def _run_callee(report: Report) -> NoReturn:
    try:
        report._send("ready", None)
        size = struct.unpack("=Q", _read_exactly(0, 8))[0]
        frame = _read_exactly(0, size)
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.set_inheritable(report._descriptor, False)
        function, argument = pickle.loads(frame)
        report._send("result", function(argument, report))
    except BaseException as error:
        report._send("error", _portable(error))
    os._exit(0)


def _portable(error: BaseException) -> BaseException:
    """The error, or one that says the same, if it does not survive the way to the parent."""
    text = "".join(traceback.format_exception(error))
    if not isinstance(error, KiwinbError):
        error.add_note(f"In the worker:\n{text}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(text)
    return error


def _read_exactly(descriptor: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = os.read(descriptor, size - len(data))
        if not piece:
            os._exit(1)
        data += piece
    return bytes(data)


def _exit_status(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _unshare(flags: int) -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(flags):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _die_with(parent: int) -> None:
    _prctl_death_signal()
    if os.getppid() != parent:
        os._exit(1)


def _prctl_death_signal() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
