"""What a worker tells its caller: pickled events in a pipe, each behind its length."""

from __future__ import annotations

import os
import pickle
import struct
import traceback
from typing import IO, Any

from kiwinb.errors import KiwinbError

_LENGTH = struct.Struct("=Q")


class Report:
    """How a function in a worker tells its caller how it goes."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def log(self, line: str) -> None:
        """One line of output, without line end."""
        self.send("log", line)

    def progress(self, fraction: float) -> None:
        """How much is done, 0.0 to 1.0."""
        self.send("progress", fraction)

    def send(self, kind: str, value: object) -> None:
        """Any event; the caller knows what the kinds mean."""
        data = memoryview(frame((kind, value)))
        while data:
            data = data[os.write(self.descriptor, data) :]


def frame(value: object) -> bytes:
    """The bytes that stand for a value in a pipe."""
    data = pickle.dumps(value)
    return _LENGTH.pack(len(data)) + data


def read_event(stream: IO[bytes]) -> tuple[str, Any] | None:
    """The next event; ``None`` at the end of the stream."""
    header = stream.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        return None
    kind, value = pickle.loads(stream.read(_LENGTH.unpack(header)[0]))
    return kind, value


def read_frame(descriptor: int) -> bytes:
    """The pickled value of the next frame; not a byte more is taken from the pipe.

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
    """The error, or one that says the same, if it does not survive the way to the caller."""
    text = "".join(traceback.format_exception(error))
    if not isinstance(error, KiwinbError):
        error.add_note(f"In the worker:\n{text}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(text)
    return error
