"""Events that a worker sends to its caller through a pipe.

Programs of a tree may reach the pipe. So an event is nothing but data
(:mod:`kiwinb.typed_json`), which is checked against the type that the caller expects. Each event is
preceded by its length, which is bounded. What a worker reads from its caller is pickled.
"""

from __future__ import annotations

import os
import pickle
import struct
from typing import IO, Any

from kiwinb.errors import HostError
from kiwinb.sandbox.failures import Failure, error_of, failure_of
from kiwinb.sandbox.lines import LONGEST_LINE
from kiwinb.typed_json import WrongData, from_json, pack, split

MOST_RESULT = 64 << 20
"""Largest number of bytes of a result, unless the caller expects more."""

_MOST_OTHER = 8 << 20
"""Largest number of bytes of any other event."""

_LONGEST_LOG = LONGEST_LINE + 100
_PIECE = 1 << 20
_LENGTH = struct.Struct("=Q")


class Report:
    """Reports of a function in a worker to its caller."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def log(self, line: str) -> None:
        """Report a line of output, without line end."""
        left = len(line) - LONGEST_LINE
        if left > 0:
            line = f"{line[:LONGEST_LINE]} [{left:,} characters of this line are left out]"
        self.send("log", line)

    def progress(self, fraction: float) -> None:
        """Report the fraction that is done, 0.0 to 1.0."""
        self.send("progress", min(max(fraction, 0.0), 1.0))

    def send(self, kind: str, value: object) -> None:
        """Send an event of any kind that the caller knows.

        Raises:
            TypeError: The value is not data.
        """
        if isinstance(value, BaseException):
            value = failure_of(value)
        data = memoryview(event_frame(kind, value))
        while data:
            data = data[os.write(self.descriptor, data) :]


def frame(value: object) -> bytes:
    """Return a value as the bytes that are sent to a worker."""
    data = pickle.dumps(value)
    return _LENGTH.pack(len(data)) + data


def event_frame(kind: str, value: object) -> bytes:
    """Return an event as the bytes that a worker sends."""
    data = pack((kind, value))
    return _LENGTH.pack(len(data)) + data


class EventReader:
    """Reader of a worker's events.

    Args:
        returns: The declared type of the result.
        most: Largest number of bytes of the result.
    """

    def __init__(self, returns: Any, most: int = MOST_RESULT) -> None:
        self._types: dict[str, Any] = {
            **{"log": str, "progress": float, "map": None, "ready": None},
            **{"error": Failure, "result": returns},
        }
        self._most = most

    def read(self, stream: IO[bytes]) -> tuple[str, Any] | None:
        """Return kind and value of the next event; ``None`` if the stream ends before its end.

        The value of an error is the exception.

        Raises:
            HostError: It is not an event.
        """
        header = stream.read(_LENGTH.size)
        if len(header) < _LENGTH.size:
            return None
        size = self._size(header)
        data = bytearray()
        while len(data) < size:
            piece = stream.read(min(size - len(data), _PIECE))
            if not piece:
                return None
            data += piece
        return self._event(bytes(data))

    def read_from(self, descriptor: int) -> tuple[str, Any]:
        """Return the next event, and read nothing after it; see :meth:`read`.

        Raises:
            EOFError: The other end was closed.
            HostError: It is not an event.
        """
        return self._event(_read(descriptor, self._size(_read(descriptor, _LENGTH.size))))

    def _size(self, header: bytes) -> int:
        size: int = _LENGTH.unpack(header)[0]
        if size > max(self._most, _MOST_OTHER):
            raise nonsense(f"an event of {size:,} bytes")
        return size

    def _event(self, data: bytes) -> tuple[str, Any]:
        try:
            packed = split(data)
            kind, value = packed.read(tuple[str, object])
            if kind not in self._types:
                raise WrongData(f"there is no event {kind[:20]!r}")
            value = from_json(value, self._types[kind], packed.blobs)
        except WrongData as error:
            raise nonsense(str(error)) from None
        if kind != "result" and len(data) > _MOST_OTHER:
            raise nonsense(f"an event of {len(data):,} bytes")
        if kind == "log" and len(value) > _LONGEST_LOG:
            raise nonsense(f"a line of {len(value):,} characters")
        if kind == "progress" and not 0 <= value <= 1:
            raise nonsense(f"the progress {value}")
        return kind, error_of(value) if kind == "error" else value


def nonsense(problem: str) -> HostError:
    """Return the error for an answer that a worker cannot have given."""
    return HostError(
        f"the worker answered nonsense: {problem}",
        remedy="Most likely, a program of the root tree tampered with kiwinb. Do not trust the "
        "scripts and packages that this step runs.",
    )


def read_frame(descriptor: int) -> bytes:
    """Read the pickled value of the next frame that a caller sends, and nothing after it.

    Raises:
        EOFError: The other end was closed.
    """
    return _read(descriptor, _LENGTH.unpack(_read(descriptor, _LENGTH.size))[0])


def _read(descriptor: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = os.read(descriptor, min(size - len(data), _PIECE))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)
