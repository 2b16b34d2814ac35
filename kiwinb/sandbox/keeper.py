"""The processes of a worker: keeper, init and callee.

* The *keeper* enters the namespaces and watches its standard input, a pipe
  from the caller. When the caller closes the pipe, or the keeper or the
  process that forked it dies, the kernel kills everything in the process
  namespace;
* the *init* is process 1 of the process namespace and reaps orphans;
* the *callee* runs the function and writes events to a second pipe.

The keeper ends last: once it has been reaped, all processes that the function
started have ended, and all mounts are gone.
"""

from __future__ import annotations

import importlib
import os
import pickle
import select
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from fcntl import F_DUPFD, fcntl
from typing import NoReturn

from kiwinb.sandbox.events import Report, read_frame
from kiwinb.sandbox.mounts import (
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    is_denied,
    mount,
)
from kiwinb.sandbox.namespaces import (
    CLONE_NEWIPC,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    die_with_parent,
    unshare,
)
from kiwinb.sandbox.privilege import namespaces_denied

_EVENTS = 3
"""Descriptor of a worker's pipe for events; its only other descriptors are 0 to 2."""


@dataclass(frozen=True)
class Setup:
    """Settings of a worker, which it reads from its standard input before anything else.

    Attributes:
        rootless: Whether the worker runs in a user namespace.
        maps: Whether the worker creates that namespace itself, and its caller maps the ids.
        modules: ``sys.path`` of the caller.
        environment: Environment of the worker.
    """

    rootless: bool
    maps: bool
    modules: tuple[str, ...]
    environment: Mapping[str, str]


def run_worker(parent: int, given: int, events: int, output: int, directory: int) -> NoReturn:
    """Act as the keeper; to be called in a newly forked process.

    Args:
        parent: The process that forked this one.
        given: The reading end of the pipe from the caller.
        events: The writing end of the pipe for events.
        output: File for standard output and standard error.
        directory: The working directory.
    """
    try:
        _die_with(parent)
        os.setsid()
        os.umask(0o022)
        os.fchdir(directory)
        _keep_only(given, events, output)
        report = Report(_EVENTS)
        setup: Setup = pickle.loads(read_frame(0))
        _become(setup)
        _enter_namespaces(setup, report, parent)
        alive, keeper_end = os.pipe()
        init = os.fork()
        if init == 0:
            os.close(keeper_end)
            _run_init(setup, report, alive)
        os.close(alive)
        os.close(_EVENTS)
        _keep(init)
    except EOFError:  # the caller is gone
        os._exit(1)
    except BaseException:
        os.write(2, traceback.format_exc().encode("utf-8", "replace"))
        os._exit(1)


def _keep_only(given: int, events: int, output: int) -> None:
    """Renumber the descriptors, and close all others, such as those of other workers."""
    spare = [fcntl(item, F_DUPFD, _EVENTS + 1) for item in (given, output, output, events)]
    for number, descriptor in enumerate(spare):
        os.dup2(descriptor, number, inheritable=number != _EVENTS)
    os.closerange(_EVENTS + 1, os.sysconf("SC_OPEN_MAX"))


def _become(setup: Setup) -> None:
    """Take over the module path and the environment of the caller."""
    sys.path[:] = setup.modules
    importlib.invalidate_caches()
    os.environ.clear()
    os.environ.update(setup.environment)


def _enter_namespaces(setup: Setup, report: Report, parent: int) -> None:
    try:
        if setup.maps:
            unshare(CLONE_NEWUSER)
            report.send("map", None)
            if os.read(0, 1) != b"\n":
                os._exit(1)
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            _die_with(parent)
        unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS)
    except OSError as error:
        report.send("error", namespaces_denied(error, rootless=setup.rootless))
        os._exit(1)


def _keep(init: int) -> NoReturn:
    """Wait for the init, and kill it when the caller closes our standard input."""
    watch = select.poll()
    watch.register(0, 0)  # reports only that the other end was closed
    watch.register(os.pidfd_open(init), select.POLLIN)
    if any(descriptor == 0 for descriptor, _event in watch.poll()):
        os.kill(init, signal.SIGKILL)
    _pid, status = os.waitpid(init, 0)
    os._exit(_exit_status(status))


def _run_init(setup: Setup, report: Report, alive: int) -> NoReturn:
    die_with_parent()
    if select.select([alive], [], [], 0)[0]:
        os._exit(1)  # the keeper died before the call of die_with_parent()
    try:
        mount("none", "/", None, MS_REC | MS_PRIVATE)
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        socket.sethostname("localhost")
    except OSError as error:
        denied = is_denied(error)
        report.send("error", namespaces_denied(error, rootless=setup.rootless) if denied else error)
        os._exit(1)
    callee = os.fork()
    if callee == 0:
        os.close(alive)
        _run_callee(report)
    os.close(_EVENTS)
    while True:
        pid, status = os.wait()
        if pid == callee:
            os._exit(_exit_status(status))


def _run_callee(report: Report) -> NoReturn:
    try:
        report.send("ready", None)
        try:
            job = read_frame(0)
        except EOFError:  # the caller is gone
            os._exit(1)
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        function, argument = pickle.loads(job)
        report.send("result", function(argument, report))
    except BaseException as error:
        report.send("error", error)
    os._exit(0)


def _exit_status(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _die_with(parent: int) -> None:
    die_with_parent()
    if os.getppid() != parent:
        os._exit(1)
