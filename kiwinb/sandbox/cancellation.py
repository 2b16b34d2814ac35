"""End calls of functions in workers early."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, NoReturn


class Cancelled(Exception):
    """Another thread ended the call."""


class Cancellation:
    """Means for a thread to end calls that other threads wait for, with all their processes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._inputs: set[IO[bytes]] = set()

    def cancel(self) -> None:
        """End all calls that use this object, including later ones."""
        with self._lock:
            self._cancelled = True
            for stream in self._inputs:
                close_input(stream)

    def check(self) -> None:
        """Raise :class:`Cancelled` if :meth:`cancel` was called."""
        if self._cancelled:
            raise Cancelled

    @contextmanager
    def closing(self, stream: IO[bytes]) -> Iterator[None]:
        """Have :meth:`cancel` end a worker, by closing its standard input, within the context.

        Raises:
            Cancelled: :meth:`cancel` was called before.
        """
        with self._lock:
            self.check()
            self._inputs.add(stream)
        try:
            yield
        finally:
            with self._lock:
                self._inputs.remove(stream)


def close_input(stream: IO[bytes]) -> None:
    """Close the standard input of a worker, even if the worker has ended."""
    with suppress(BrokenPipeError):
        stream.close()


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
