"""A web server for a repository, which can be told to misbehave."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import ClassVar

Answer = Callable[["Handler", bytes], None]
"""Answers a request for a file, whose content it gets, in another way."""


class Handler(SimpleHTTPRequestHandler):
    """Serves a directory; files whose path has ``part`` are answered by ``answer``."""

    part: ClassVar[str] = ""
    answer: ClassVar[Answer | None] = None
    over: ClassVar[Event] = Event()

    def do_GET(self) -> None:
        if (answer := type(self).answer) is None or self.part not in self.path:
            with suppress(ConnectionError):
                super().do_GET()
            return
        path = Path(self.translate_path(self.path))
        answer(self, path.read_bytes() if path.is_file() else b"")

    def start(self, size: int, data: bytes) -> None:
        """Send the head of an answer of this size, and the data."""
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass


def hangs_up(self: Handler, _data: bytes) -> None:
    """The server is gone."""
    self.close_connection = True
    self.connection.shutdown(socket.SHUT_RDWR)


def stalls(self: Handler, data: bytes) -> None:
    """It begins, and then nothing arrives."""
    self.start(len(data), data[:100])
    self.wfile.flush()
    self.over.wait(30)


def sends_half(self: Handler, data: bytes) -> None:
    """It hangs up in the middle."""
    self.start(len(data), data[: len(data) // 2])
    self.close_connection = True


def is_gone(self: Handler, _data: bytes) -> None:
    """The file is not there any more."""
    self.send_error(404)


@contextmanager
def served(directory: Path) -> Iterator[tuple[type[Handler], str]]:
    """Serve a directory; yields what the server is told by, and its URL."""

    class Own(Handler):
        over = Event()

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Own, directory=directory)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Own, f"http://127.0.0.1:{server.server_port}"
        finally:
            Own.over.set()
            server.shutdown()
