"""Say now and then that work goes on, where nothing else would show it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rich.console import Console

INTERVAL = 30.0
"""Time in seconds without any other line after which the heartbeat prints one."""


class Heartbeat:
    """Prints a line whenever nothing was printed for a while; a context manager.

    Some CI systems end a job that prints nothing for ten minutes.

    Args:
        console: The console.
        text: Returns the line; called in another thread. An empty line is not printed.
    """

    def __init__(self, console: Console, text: Callable[[], str]) -> None:
        self._console = console
        self._text = text
        self._spoke = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kiwinb-heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def beat(self) -> None:
        """Wait with the next heartbeat, because something else was printed."""
        self._spoke = time.monotonic()

    def print(self, text: str) -> None:
        """Print a line, and wait with the next heartbeat."""
        self.beat()
        self._console.print(text, soft_wrap=True)

    def _run(self) -> None:
        while not self._over.wait(max(self._spoke + INTERVAL - time.monotonic(), 0.01)):
            if time.monotonic() - self._spoke >= INTERVAL:
                text = self._text()
                self.beat()
                if text:
                    self.print(text)
