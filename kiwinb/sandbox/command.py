"""Run commands on the host, and pass on their output line by line."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO

from kiwinb.errors import CommandError
from kiwinb.sandbox.environment import tool_environment
from kiwinb.sandbox.lines import Budget, LineSplitter, for_message
from kiwinb.sandbox.tools import cannot_start, crash, find_tool

Log = Callable[[str], None]

_TAIL_LINES = 20
_CHUNK = 65536
_CHUNKS = 16

MOST_OUTPUT = 64 << 20
"""Largest number of bytes of standard output that :func:`run` returns."""
_WATCHED_EVERY = 1.0


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    log: Log | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    input: str | bytes | None = None,
    check: bool = True,
) -> str:
    """Run a tool of the host and return its standard output.

    Args:
        argv: Name of the tool and its arguments.
        log: Called with each line of standard output and standard error.
        env: Variables to add to that of :func:`~kiwinb.sandbox.environment.tool_environment`.
        cwd: Working directory.
        input: Standard input; empty by default.
        check: Whether to raise an error if the exit status is not 0.

    Returns:
        Standard output; ``surrogateescape`` decodes bytes that are not UTF-8.

    Raises:
        CommandError: The tool failed, or printed more than :data:`MOST_OUTPUT`; the error has the
            last lines of its output.
        HostError: The tool is not installed, cannot be executed, crashed or was killed.
    """
    words = [os.fspath(word) for word in argv]
    return execute(
        words,
        executable=find_tool(words[0]),
        log=log,
        env={**tool_environment(), **(env or {})},
        cwd=cwd,
        input=input,
        check=check,
    )


def execute(
    argv: Sequence[str],
    *,
    executable: str | None,
    log: Log | None,
    env: Mapping[str, str],
    cwd: Path | None,
    input: str | bytes | None,
    check: bool,
    enter: Callable[[], None] | None = None,
    descriptors: Sequence[int] = (),
    started: Callable[[subprocess.Popen[bytes]], None] = lambda process: None,
    keep_output: bool = True,
    shown: Sequence[str] | None = None,
    outer: str = "",
    watch: Callable[[], None] | None = None,
) -> str:
    """Run a command in exactly the given environment; see :func:`run`.

    Args:
        argv: The command and its arguments.
        executable: Path of a tool of the host to execute, if it is not ``argv[0]``.
        log: Called with each line of output.
        env: The complete environment.
        cwd: Working directory.
        input: Standard input; empty if ``None``.
        check: Whether to raise an error if the exit status is not 0.
        enter: Called in the new process before it executes the command.
        descriptors: Descriptors that the command inherits.
        started: Called with the new process.
        keep_output: Whether to return standard output; otherwise, the result is empty.
        shown: The command that errors name, if it is not ``argv``.
        outer: Name of a tool of the host in which the command runs. It passes on how the command
            ended in its exit status, so a signal that ends it is a fault of its own.
        watch: Called every second while it runs; an error that it raises ends the command.

    Raises:
        CommandError: The command failed, or printed more than :data:`MOST_OUTPUT` to be returned.
        HostError: The tool of the host cannot be executed, crashed or was killed.
        FileNotFoundError: The command does not exist.
    """
    named, tail = shown or argv, deque[str](maxlen=_TAIL_LINES)
    stdin = subprocess.DEVNULL if input is None else subprocess.PIPE
    process = _started(argv, executable, env, cwd, stdin, enter, descriptors)
    with _watched(process):
        started(process)
        output = bytearray() if keep_output else None
        with _explained(named, tail):
            _communicate(process, input or b"", partial(_say, tail, log), output, watch)
        status = process.wait()
    if check and status:
        tool = Path(executable).name if executable else outer if status < 0 else ""
        lines = tuple(tail)
        raise (tool and crash(tool, status, lines)) or CommandError(named, status, lines)
    return (output or b"").decode("utf-8", "surrogateescape")


def _started(
    argv: Sequence[str],
    executable: str | None,
    env: Mapping[str, str],
    cwd: Path | None,
    stdin: int,
    enter: Callable[[], None] | None,
    descriptors: Sequence[int],
) -> subprocess.Popen[bytes]:
    """Start a command; the error of a tool that the kernel does not execute names its package."""
    try:
        return subprocess.Popen(
            argv,
            executable=executable,
            env=env,
            cwd=cwd,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=enter,
            pass_fds=descriptors,
        )
    except OSError as error:
        if executable is None or error.filename != executable:
            raise
        raise cannot_start(Path(executable).name, executable, error) from error


def _say(tail: deque[str], log: Log | None, line: str) -> None:
    tail.append(for_message(line))
    if log is not None:
        log(line)


@contextmanager
def _explained(argv: Sequence[str], tail: Iterable[str]) -> Iterator[None]:
    """Make the error of a command that prints too much name it."""
    try:
        yield
    except _TooMuchError:
        problem = f"{argv[0]} printed more than {MOST_OUTPUT >> 20} MiB, and was ended"
        raise CommandError(argv, -signal.SIGKILL, tuple(tail), problem=problem) from None


@contextmanager
def _watched(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Close the pipes of a process at the end; after an error, kill the process first."""
    try:
        yield
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _write_some(descriptor: int, pending: memoryview) -> memoryview:
    """Write to a pipe; return what is left to write, which is nothing if nobody reads it."""
    try:
        return pending[os.write(descriptor, pending[:_CHUNK]) :]
    except BrokenPipeError:
        return pending[:0]


class _TooMuchError(Exception):
    """A command has printed more than is kept."""


def _drain(stream: IO[bytes], lines: LineSplitter, output: bytearray | None) -> bool:
    """Read available data, but not forever; return ``False`` at the end of the stream."""
    for _chunk in range(_CHUNKS):
        try:
            data = os.read(stream.fileno(), _CHUNK)
        except BlockingIOError:
            return True
        if not data:
            return False
        lines.feed(data)
        if output is not None:
            output.extend(data)
            if len(output) > MOST_OUTPUT:
                raise _TooMuchError
    return True


def _communicate(
    process: subprocess.Popen[bytes],
    input: str | bytes,
    say: Log,
    output: bytearray | None,
    watch: Callable[[], None] | None = None,
) -> None:
    """Write to and read from a process until it ends, even if a daemon keeps its pipes open.

    ``output`` gets its standard output; it is ``None`` if nobody needs that.
    """
    assert process.stdout is not None and process.stderr is not None
    budget = Budget()
    lines = {stream: LineSplitter(say, budget) for stream in (process.stdout, process.stderr)}

    def drain(stream: IO[bytes]) -> bool:
        return _drain(stream, lines[stream], output if stream is process.stdout else None)

    pidfd = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(pidfd, selectors.EVENT_READ)
            for stream in lines:
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ)
            streams = {stream.fileno(): stream for stream in lines}
            pending = memoryview(input.encode() if isinstance(input, str) else input)
            if process.stdin is not None:
                os.set_blocking(process.stdin.fileno(), False)
                selector.register(process.stdin, selectors.EVENT_WRITE)
            ended = False
            while not ended:
                events = selector.select(_WATCHED_EVERY if watch else None)
                if watch is not None:
                    watch()
                for key, _events in events:
                    if key.fileobj == pidfd:
                        ended = True
                    elif key.fileobj is process.stdin:
                        pending = _write_some(key.fd, pending)
                        if not pending:
                            selector.unregister(process.stdin)
                            process.stdin.close()
                    else:
                        stream = streams[key.fd]
                        if not drain(stream):
                            selector.unregister(stream)
            for stream, line in lines.items():
                drain(stream)
                line.end()
    finally:
        os.close(pidfd)
