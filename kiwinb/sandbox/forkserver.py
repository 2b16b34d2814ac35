"""The process that forks workers after importing the modules that they need.

It receives requests from its standard input, which is a socket, forks a keeper for each, and
reports how the keeper ended. It ends when its caller closes the socket or dies; the kernel then
kills the keepers and all their processes.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import socket
import struct
import sys
from contextlib import suppress
from typing import NoReturn

from kiwinb.sandbox.keeper import run_worker

DESCRIPTORS = 5
"""Number of descriptors of a request: input, events, output, working directory, and a socket for
the answers."""

STARTED = struct.Struct("=I")
"""The first answer: the keeper's process id, sent with a descriptor of that process."""

ENDED = struct.Struct("=i")
"""The second answer: the keeper's exit status, or the negative number of a signal."""


def main() -> NoReturn:
    """Import modules, then serve the process that started this one.

    The command line consists of ``sys.path`` as JSON, the caller's process id and the modules.
    """
    parent = int(sys.argv[2])
    caller = os.pidfd_open(parent)
    if os.getppid() != parent:
        os._exit(1)
    for name in sys.argv[3:]:
        with suppress(Exception):  # a worker that needs it will report the error
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    _serve(caller)


def _serve(caller: int) -> NoReturn:
    requests = socket.socket(fileno=0)
    keepers: dict[int, tuple[int, socket.socket]] = {}
    watch = select.poll()
    watch.register(caller, select.POLLIN)
    watch.register(requests, select.POLLIN)
    while True:
        for descriptor, _event in watch.poll():
            if descriptor == caller:
                os._exit(1)
            if descriptor == requests.fileno():
                process, pid, answers = _take(requests)
                keepers[process] = pid, answers
                watch.register(process, select.POLLIN)
            else:
                watch.unregister(descriptor)
                _tell(descriptor, *keepers.pop(descriptor))


def _take(requests: socket.socket) -> tuple[int, int, socket.socket]:
    """Fork a keeper for the next request; end if the caller has closed the socket."""
    flags = socket.MSG_CMSG_CLOEXEC
    data, descriptors, _flags, _address = socket.recv_fds(requests, 1, DESCRIPTORS, flags)
    if not data:
        os._exit(0)
    *given, answering = descriptors
    server = os.getpid()
    pid = os.fork()
    if pid == 0:
        run_worker(server, *given)
    for descriptor in given:
        os.close(descriptor)
    process = os.pidfd_open(pid)
    answers = socket.socket(fileno=answering)
    with suppress(OSError):  # the caller no longer waits
        socket.send_fds(answers, [STARTED.pack(pid)], [process])
    return process, pid, answers


def _tell(process: int, pid: int, answers: socket.socket) -> None:
    """Reap a keeper, and report its exit status to the caller."""
    _pid, status = os.waitpid(pid, 0)
    os.close(process)
    with answers, suppress(OSError):
        answers.send(ENDED.pack(os.waitstatus_to_exitcode(status)))
