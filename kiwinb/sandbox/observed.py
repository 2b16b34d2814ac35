"""Run a function in a separate process, and observe everything that it and its programs read."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from kiwinb.errors import HostError
from kiwinb.sandbox.events import EventReader, Report, nonsense
from kiwinb.sandbox.observation import Observation
from kiwinb.sandbox.observe import Observer
from kiwinb.sandbox.others import end_other_processes

Log = Callable[[str], None]
Progress = Callable[[float], None]


def run_observed(
    function: Callable[[Log, Progress], None],
    log: Log,
    progress: Progress,
    caged: Path,
) -> Observation:
    """Call ``function(log, progress)`` in a child process of a worker.

    When the function has returned, all other processes in the process namespace are killed.

    Args:
        function: The function; all that it changes has to be files, as it runs in a child.
        log: Called with each line of output.
        progress: Called with the fraction that is done, 0.0 to 1.0.
        caged: The tree whose programs it runs in cages.

    Raises:
        HostError: The child process died.
        Exception: The function raised it.
    """
    observer = Observer(caged=caged)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _run_child(function, Report(writing), observer)
    os.close(writing)
    with observer:
        try:
            ended, error = _follow(reading, child, log, progress)
        finally:
            os.close(reading)
        _pid, status = os.waitpid(child, 0)
        end_other_processes()
    observation = observer.finish()
    if error is not None:
        raise error
    if not ended:
        raise HostError(f"the process of the step ended early (status {status})")
    return observation


def _run_child(
    function: Callable[[Log, Progress], None], report: Report, observer: Observer
) -> NoReturn:
    try:
        observer.enter()
        function(report.log, report.progress)
        report.send("result", None)
    except BaseException as error:
        report.send("error", error)
    os._exit(0)


def _follow(
    descriptor: int, child: int, log: Log, progress: Progress
) -> tuple[bool, BaseException | None]:
    """Pass on the child's reports; return whether the function ended, and its error."""
    process = os.pidfd_open(child)
    reader = EventReader(None)
    try:
        # processes that the child forked may keep the pipe open when the child has died
        while descriptor in select.select([descriptor, process], [], [])[0]:
            kind, value = reader.read_from(descriptor)
            if kind == "log":
                log(value)
            elif kind == "progress":
                progress(value)
            elif kind in ("result", "error"):
                return True, value
            else:
                raise nonsense(f"the event {kind}")
    except EOFError:
        pass
    finally:
        os.close(process)
    return False, None
