"""Run a tool of the host that reads or writes a stream, and keep what it says in memory.

A file could not hold what a tool says about a full disk if the file were on that disk.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, BinaryIO, cast

from kiwinb.errors import CommandError, KiwinbError
from kiwinb.sandbox.environment import tool_environment
from kiwinb.sandbox.tools import cannot_start, crash, find_tool

_TAIL_BYTES = 4000
_TAIL_LINES = 20
_PIECE = 1 << 20


def memory_file() -> IO[bytes]:
    """Open a file in memory, to which processes can write their output."""
    return os.fdopen(os.memfd_create("output"), "w+b", buffering=0)


def tail(file: IO[bytes]) -> str:
    """Return the last part of what processes wrote to a file in memory."""
    size = os.fstat(file.fileno()).st_size
    data = os.pread(file.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    return data.decode("utf-8", "replace").strip()


@contextmanager
def writing_through(argv: Sequence[str], target: IO[bytes]) -> Iterator[IO[bytes]]:
    """Yield the standard input of a tool that writes its standard output to a file.

    Args:
        argv: Name of the tool and its arguments.
        target: The file, which needs a descriptor.

    Raises:
        CommandError: The tool failed; the error has the last lines that it said.
        HostError: The tool is not installed.
    """
    with memory_file() as said:
        process = _start(argv, said, stdin=subprocess.PIPE, stdout=target)
        stream = process.stdin
        assert stream is not None
        try:
            yield stream
            stream.close()
        except BrokenPipeError:
            pass  # the tool ended early; its exit status says why
        except BaseException:
            process.kill()
            raise
        finally:
            with suppress(BrokenPipeError):
                stream.close()
            status = process.wait()
        if status:
            raise _failure(argv, status, said)


@contextmanager
def reading_through(argv: Sequence[str]) -> Iterator[BinaryIO]:
    """Yield the standard output of a tool; what is not read of it is thrown away.

    Args:
        argv: Name of the tool and its arguments.

    Raises:
        CommandError: The tool failed; the error has the last lines that it said.
        HostError: The tool is not installed.
    """
    with memory_file() as said:
        process = _start(argv, said, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        stream = process.stdout
        assert stream is not None
        try:
            yield cast(BinaryIO, stream)
            while stream.read(_PIECE):
                pass
        except Exception as error:
            stream.close()
            if (status := process.wait()) > 0:  # that is why; otherwise, it died of the closed pipe
                raise _failure(argv, status, said) from error
            raise
        except BaseException:
            process.kill()
            raise
        finally:
            stream.close()
            status = process.wait()
        if status:
            raise _failure(argv, status, said)


def _start(
    argv: Sequence[str], said: IO[bytes], *, stdin: int, stdout: int | IO[bytes]
) -> subprocess.Popen[bytes]:
    tool = find_tool(argv[0])
    environment = tool_environment()
    try:
        return subprocess.Popen(
            argv, executable=tool, stdin=stdin, stdout=stdout, stderr=said, env=environment
        )
    except OSError as error:
        if error.filename != tool:
            raise
        raise cannot_start(argv[0], tool, error) from error


def _failure(argv: Sequence[str], status: int, said: IO[bytes]) -> KiwinbError:
    lines = tail(said).splitlines()[-_TAIL_LINES:]
    return crash(argv[0], status, lines) or CommandError(argv, status, lines)
