"""Send the log to standard error, a file and a socket."""

from __future__ import annotations

import logging
import socket
import sys
from pathlib import Path

from rich.console import Console

from kiwinb.errors import HostError
from kiwinb.visible import visible

STEPS = "kiwinb.steps"
"""Logger of the events and the output of steps; only files and sockets show its records."""

STDOUT = Path("stdout")
"""The name that stands for standard output, as in KIWI NG."""

_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_STYLES = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "red"}


def start_logging(
    console: Console, level: int, *, file: Path | None = None, socket_path: Path | None = None
) -> None:
    """Send the log of kiwinb to the places that the command line names.

    Args:
        console: Gets records of the level or above.
        level: A level of :mod:`logging`.
        file: Gets all records, appended; ``stdout`` is standard output.
        socket_path: A listening Unix socket; gets all records, one per line.

    Raises:
        HostError: The file or the socket cannot be opened.
    """
    logger = logging.getLogger("kiwinb")
    for old in list(logger.handlers):
        logger.removeHandler(old)
        old.close()
    shown = _ConsoleHandler(console)
    shown.setLevel(level)
    logger.addHandler(shown)
    further: list[logging.Handler] = []
    try:
        if file is not None:
            further.append(
                logging.StreamHandler(sys.stdout)
                if file == STDOUT
                else logging.FileHandler(file, encoding="utf-8")
            )
        if socket_path is not None:
            further.append(_SocketHandler(socket_path))
    except OSError as error:
        raise HostError(
            f"cannot write the log to {error.filename or socket_path}: {error.strerror}",
            remedy="Name another file, or have something listen on the socket first.",
        ) from None
    for handler in further:
        handler.setFormatter(_VisibleFormatter(_FORMAT))
        logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if further else level)


class _VisibleFormatter(logging.Formatter):
    """Escapes texts of other people, which steps print."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record), lines=True)


class _ConsoleHandler(logging.Handler):
    """Writes records to a console, above any progress bars."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != STEPS:
            self._console.print(
                f"{record.levelname}: {record.getMessage()}",
                style=_STYLES.get(record.levelno, ""),
                soft_wrap=True,
            )


class _SocketHandler(logging.Handler):
    """Writes records to a Unix stream socket."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(path))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._socket.sendall(f"{self.format(record)}\n".encode())
        except OSError:
            self.handleError(record)

    def close(self) -> None:
        self._socket.close()
        super().close()
