"""A web server with mirrors of repositories, each of which answers in its own way."""

from __future__ import annotations

import hashlib
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

REPOMD = "repodata/repomd.xml"

Answer = bytes | Path | Callable[[str], bytes | None]
"""What is at a path: bytes, a directory, or a function of the rest of the path; ``None`` is 404."""


@dataclass
class Mirrors:
    """The server.

    Attributes:
        places: What is below the first component of a path.
        asked: The paths that were asked for, with their queries.
        logins: User name and password by path.
        url: Its URL.
    """

    places: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    logins: dict[str, str] = field(default_factory=dict)
    url: str = ""

    def answer(self, path: str) -> bytes | None:
        """What is at a path; ``None`` if nothing is there."""
        name, _, rest = path.partition("?")[0].strip("/").partition("/")
        place = self.places.get(name)
        with suppress(FileNotFoundError):
            if isinstance(place, Path):
                return (place / rest).read_bytes()
            return place(rest) if callable(place) else place
        return None


class Busy(Exception):
    """The server asks to come back in an hour."""


def busy(_path: str) -> bytes | None:
    """Ask to come back in an hour."""
    raise Busy


def hang(_path: str) -> bytes | None:
    """Say nothing for a while."""
    time.sleep(10)
    return None


@contextmanager
def serving() -> Iterator[Mirrors]:
    """Run a server."""
    mirrors = Mirrors()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            mirrors.asked.append(self.path)
            if said := self.headers.get("Authorization"):
                mirrors.logins[self.path] = b64decode(said.split()[1]).decode()
            data, status = None, 404
            try:
                data = mirrors.answer(self.path)
            except Busy:
                status = 503
            with suppress(ConnectionError):  # a client that has seen enough
                self.send_response(status if data is None else 200)
                if status == 503:
                    self.send_header("Retry-After", "3600")
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                self.wfile.write(data or b"")

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        mirrors.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield mirrors
        finally:
            running.shutdown()
            thread.join()


def _hashes(index: bytes, algorithms: Sequence[str]) -> str:
    return "".join(
        f'<hash type="{name}">{hashlib.new(name, index, usedforsecurity=False).hexdigest()}</hash>'
        for name in algorithms
    )


def metalink(
    urls: Mapping[str, int],
    index: bytes,
    older: Sequence[bytes] = (),
    algorithms: Sequence[str] = ("md5", "sha1", "sha256", "sha512"),
) -> bytes:
    """A metalink of version 3, with the extensions of MirrorManager.

    Args:
        urls: URLs of repositories with their preference, from 0 to 100.
        index: The current index.
        older: Older ones.
        algorithms: Digests to state.
    """

    def said(data: bytes) -> str:
        return (
            f"<mm0:timestamp>1700000000</mm0:timestamp><size>{len(data)}</size>"
            f"<verification>{_hashes(data, algorithms)}</verification>"
        )

    alternates = "".join(f"<mm0:alternate>{said(data)}</mm0:alternate>" for data in older)
    places = "".join(
        f'<url protocol="{url.partition(":")[0]}" location="DE" preference="{preference}" >'
        f"{url}/{REPOMD}</url>\n"
        for url, preference in urls.items()
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<metalink version="3.0" '
        'xmlns="http://www.metalinker.org/" type="dynamic" generator="mirrormanager" '
        'xmlns:mm0="http://fedorahosted.org/mirrormanager">\n<files><file name="repomd.xml">'
        f"{said(index)}<mm0:alternates>{alternates}</mm0:alternates>"
        f'<resources maxconnections="1">{places}</resources></file></files></metalink>\n'
    ).encode()


def metalink4(urls: Mapping[str, int], index: bytes) -> bytes:
    """A metalink of version 4; the smallest priority comes first."""
    places = "".join(
        f'<url location="de" priority="{priority}">{url}/{REPOMD}</url>'
        for url, priority in urls.items()
    )
    hashes = _hashes(index, ("sha256",)).replace("sha256", "sha-256")
    return (
        '<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="other"><size>1</size>'
        f'</file><file name="repomd.xml"><size>{len(index)}</size>{hashes}{places}</file>'
        "</metalink>"
    ).encode()
