"""Call a function as root in a worker, a new process in namespaces of its own.

Callers use this module. :mod:`kiwinb.sandbox.forkserver` forks the processes of a worker, and
:mod:`kiwinb.sandbox.keeper` describes them and how they die together.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

from kiwinb.errors import HostError, KiwinbError
from kiwinb.sandbox.cancellation import Cancellation, Cancelled, exit_on_termination
from kiwinb.sandbox.events import MOST_RESULT, EventReader, Report, frame, nonsense
from kiwinb.sandbox.launcher import Launcher, Worker
from kiwinb.sandbox.lines import Gate
from kiwinb.sandbox.privilege import IdRange, Privilege, detect
from kiwinb.sandbox.tools import find_tool
from kiwinb.typed_json import return_type

__all__ = [
    "MOST_RESULT",
    "Cancellation",
    "Cancelled",
    "Launcher",
    "Report",
    "call",
    "exit_on_termination",
    "nonsense",
    "probe",
]

A = TypeVar("A")
R = TypeVar("R")


def call(
    function: Callable[[A, Report], R],
    argument: A,
    *,
    on_log: Callable[[str], None] = lambda line: None,
    on_progress: Callable[[float], None] = lambda fraction: None,
    privilege: Privilege | None = None,
    cancellation: Cancellation | None = None,
    launcher: Launcher | None = None,
    returns: Any = None,
    most: int = MOST_RESULT,
) -> R:
    """Call ``function(argument, report)`` as root in new namespaces, in a new process.

    When this process is interrupted or dies, everything that the function started dies too.

    What comes out of the worker is checked data, of bounded size (:mod:`kiwinb.sandbox.events`).

    Args:
        function: A function at the top level of a module that can be imported. The type that it
            returns has to be declared, and consist of what :mod:`kiwinb.typed_json` can convert.
        argument: Passed to the function; it has to be picklable.
        on_log: Called with each line that the function reports.
        on_progress: Called with each fraction that the function reports, 0.0 to 1.0.
        privilege: How the worker becomes root; by default, the host decides.
        cancellation: With this, another thread can end the call.
        launcher: Launches the worker; several calls that share a launcher take less time.
        returns: The type that the function returns, if what it declares is generic.
        most: Largest number of bytes of what it returns.

    Returns:
        What the function returned.

    Raises:
        KiwinbError, OSError, MemoryError: The function raised it.
        RuntimeError: The function raised another exception.
        HostError: The host does not allow namespaces, the worker died, or something in it tampered
            with what it answers.
        Cancelled: Another thread ended the call.
    """
    privilege = privilege or detect()
    cancellation = cancellation or Cancellation()
    reader = EventReader(return_type(function) if returns is None else returns, most)
    gate = Gate(on_log)
    with (
        exit_on_termination(),
        nullcontext(launcher) if launcher else Launcher() as launching,
        launching.launch(privilege) as worker,
    ):
        with cancellation.closing(worker.input):
            ended = _follow(worker, (function, argument), reader, privilege, gate, on_progress)
            gate.end()
        if ended is None:
            cancellation.check()
            raise _died(function, *worker.ending())
    kind, value = ended
    if kind == "error":
        raise value
    return value  # type: ignore[no-any-return]


def probe(privilege: Privilege | None = None) -> None:
    """Run a worker that does nothing, to find out whether workers can run on this host.

    Raises:
        HostError: They cannot.
    """
    call(_do_nothing, None, privilege=privilege)


def _do_nothing(_argument: None, _report: Report) -> None:
    pass


def _follow(
    worker: Worker,
    job: tuple[object, object],
    reader: EventReader,
    privilege: Privilege,
    on_log: Callable[[str], None],
    on_progress: Callable[[float], None],
) -> tuple[str, Any] | None:
    """Send the worker its job and handle its events.

    Returns:
        The last event, which has the result or the error; ``None`` if the worker died before it.
    """
    data = frame(job)
    asked = ["map", "ready"]  # each once, and in this order
    while (event := reader.read(worker.events)) is not None:
        kind, value = event
        if kind == "log":
            on_log(value)
        elif kind == "progress":
            on_progress(value)
        elif kind in ("map", "ready"):
            if kind not in asked:
                raise nonsense(f"the event {kind} comes too late")
            del asked[: asked.index(kind) + 1]
            if kind == "map":
                _map_ids(worker.pid, privilege)
            worker.say(b"\n" if kind == "map" else data)
        else:
            return event
    worker.ending()  # it ends by itself, with the status of whatever went wrong
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


def _died(function: Callable[..., object], status: int, said: str) -> KiwinbError:
    signal_number = -status if status < 0 else status - 128
    if signal_number == signal.SIGKILL:
        return HostError(
            "the worker process was killed",
            remedy="The host ran out of memory, most likely.",
        )
    name = getattr(function, "__name__", "function")
    return HostError(f"the worker process ended early in {name} (status {status}): {said}")
