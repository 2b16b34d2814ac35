"""Events that a worker sends to its caller: pickled in a pipe, each preceded by its length."""

from __future__ import annotations

import os
import pickle
import struct
import traceback
from typing import IO, Any

from kiwinb.errors import KiwinbError

_LENGTH = struct.Struct("=Q")


class Report:
    """Reports of a function in a worker to its caller."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def log(self, line: str) -> None:
        """Report a line of output, without line end."""
        self.send("log", line)

    def progress(self, fraction: float) -> None:
        """Report the fraction that is done, 0.0 to 1.0."""
        self.send("progress", fraction)

    def send(self, kind: str, value: object) -> None:
        """Send an event of any kind that the caller knows."""
        data = memoryview(frame((kind, value)))
        while data:
            data = data[os.write(self.descriptor, data) :]


def frame(value: object) -> bytes:
    """Return a value as the bytes that are sent through a pipe."""
    data = pickle.dumps(value)
    return _LENGTH.pack(len(data)) + data


def read_event(stream: IO[bytes]) -> tuple[str, Any] | None:
    """Return kind and value of the next event; ``None`` if the stream ends before its end."""
    header = stream.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        return None
    (size,) = _LENGTH.unpack(header)
    data = stream.read(size)
    if len(data) < size:
        return None
    kind, value = pickle.loads(data)
    return kind, value


def read_frame(descriptor: int) -> bytes:
    """Read the pickled value of the next frame, and nothing after it.

    Raises:
        EOFError: The other end was closed.
    """
    return _read(descriptor, _LENGTH.unpack(_read(descriptor, _LENGTH.size))[0])


def _read(descriptor: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = os.read(descriptor, size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


def portable(error: BaseException) -> BaseException:
    """Return an error for the caller.

    It is an error with the traceback if the error cannot be pickled, or would end the caller.
    """
    text = "".join(traceback.format_exception(error))
    if not isinstance(error, Exception):
        return RuntimeError(text)
    if not isinstance(error, KiwinbError):
        error.add_note(f"In the worker:\n{text}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(text)
    return error
