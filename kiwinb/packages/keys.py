"""The keys that sign repositories: files of the description, and files to download."""

from __future__ import annotations

import base64
import errno
import hashlib
import logging
import re
import stat
import time
import urllib.request
from functools import cache
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit

from kiwinb.description.login import without_logins
from kiwinb.errors import RepositoryError
from kiwinb.files import replace_file
from kiwinb.steps.keys import Source

log = logging.getLogger(__name__)

_SCHEMES = ("https", "http", "ftp")
_MOST_BYTES = 1 << 20
_PIECE = 1 << 16
_TIMEOUT = 30
"""Seconds to wait for an answer, and then for all of it."""

_PIN = re.compile(r"sha256=([0-9a-f]{64})")
_ARMOR = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_PACKETS = (0x98, 0x99, 0xC6)
"""First bytes of a public key that is not armoured: RFC 9580, section 4.2."""


def read_key(
    key: str,
    alias: str,
    description_dir: Path,
    cache_dir: Path,
    login: tuple[str, str] | None = None,
) -> Source:
    """Find a key that a description names; a key on a server is downloaded once.

    A downloaded key is kept. The digest of a key on a server may be pinned in its URL:
    ``https://…/key.asc#sha256=DIGEST``; a key that is not pinned gives a warning.

    Args:
        key: ``https:``, ``http:`` or ``ftp:`` URL, ``file:`` or ``this:`` URL, or a path.
        alias: The repository, for messages.
        description_dir: Directory at which relative paths and ``this:`` start.
        cache_dir: Directory of downloads.
        login: User name and password for the server.

    Raises:
        RepositoryError: The key cannot be read or downloaded, or is not the pinned one.
    """
    scheme, colon, rest = key.partition(":")
    if colon and scheme in _SCHEMES:
        return _downloaded(key, alias, cache_dir, login)
    if colon and scheme == "this":
        file = description_dir / unquote(rest.lstrip("/"))
    elif "://" in key and scheme != "file":
        raise RepositoryError(
            f"the signing key {key} of the repository {alias} is of an unknown kind",
            remedy="Use https:, http:, ftp:, file:, this: or a path.",
        )
    else:
        file = description_dir / (unquote(urlsplit(key).path) if "://" in key else key)
    try:
        return key_file(file)
    except OSError as error:
        raise RepositoryError(
            f"the signing key {key} of the repository {alias} cannot be read: {error.strerror}",
            remedy="A relative name starts at the description directory, and in an option at the "
            "working directory.",
        ) from None


def key_file(file: Path) -> Source:
    """A key in a file of this host.

    Raises:
        OSError: The file cannot be read.
    """
    if not stat.S_ISREG(file.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(file))
    return Source(hashlib.sha256(file.read_bytes()).hexdigest(), file)


def key_suffix(data: bytes) -> str:
    """Return the suffix that tells apt the format of a key: ``asc`` if armored, or else ``gpg``."""
    return "asc" if data.lstrip().startswith(b"-----BEGIN PGP") else "gpg"


def content_of_key(key: Source, alias: str) -> bytes:
    """Read a key file.

    Raises:
        RepositoryError: The file cannot be read, or has changed since the build was planned.
    """
    try:
        data = key.path.read_bytes()
    except OSError as error:
        raise RepositoryError(
            f"the key {key.path} of the repository {alias} cannot be read: {error.strerror}"
        ) from None
    if hashlib.sha256(data).hexdigest() != key.digest:
        raise RepositoryError(
            f"the key {key.path} of the repository {alias} has changed since the build was planned",
            remedy="Run again.",
        )
    return data


def _downloaded(url: str, alias: str, cache_dir: Path, login: tuple[str, str] | None) -> Source:
    address, _, fragment = url.partition("#")
    pin = _PIN.fullmatch(fragment.lower())
    if fragment and pin is None:
        raise RepositoryError(
            f"the pin #{fragment} of the signing key {address} is no SHA-256 digest",
            remedy="Write #sha256= and 64 hexadecimal digits, or leave it out.",
        )
    file = cache_dir / "keys" / f"{hashlib.sha256(address.encode()).hexdigest()}.key"
    if not file.is_file():
        data = _download(address, alias, login)
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, data)
    found = key_file(file)
    if pin is None:
        _warn(
            f"the signing key {address} of the repository {alias} is not pinned: whoever answers "
            f"there is trusted. If {file} is the right key, write {address}#sha256={found.digest}"
        )
    elif pin[1] != found.digest:
        file.unlink()
        raise RepositoryError(
            f"the signing key {address} of the repository {alias} has the SHA-256 digest "
            f"{found.digest}, not the pinned one",
            remedy="Find out whether the repository has a new key. If so, pin its digest.",
        )
    return found


class _StayEncrypted(urllib.request.HTTPRedirectHandler):
    """Refuses to go from https to anything else, on the way, too."""

    def redirect_request(
        self, req: urllib.request.Request, *args: Any, **named: Any
    ) -> urllib.request.Request | None:
        target = super().redirect_request(req, *args, **named)
        if target is not None and req.type == "https" and target.type != "https":
            place = without_logins(target.full_url)
            raise URLError(f"it is redirected to {place}, which is not encrypted")
        return target


def _download(address: str, alias: str, login: tuple[str, str] | None) -> bytes:
    def failed(reason: object) -> RepositoryError:
        return RepositoryError(
            f"the signing key {address} of the repository {alias} cannot be downloaded: {reason}",
            remedy="Check the URL, or put the key into the description directory and name it.",
        )

    try:
        request = urllib.request.Request(address)
        if login:
            words = base64.b64encode(":".join(login).encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {words}")
        opener = urllib.request.build_opener(_StayEncrypted)
        with opener.open(request, timeout=_TIMEOUT) as answer:
            data = _read(answer)
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise failed(getattr(error, "reason", None) or error) from None
    if len(data) > _MOST_BYTES or not (_ARMOR in data or data[:1] in map(_byte, _PACKETS)):
        raise failed("what is there is not an OpenPGP key")
    return data


def _read(answer: Any) -> bytes:
    """Read an answer, as far as it is not too long.

    Raises:
        TimeoutError: It takes too long.
    """
    data, until = b"", time.monotonic() + _TIMEOUT
    while len(data) <= _MOST_BYTES and (piece := answer.read1(_PIECE)):
        data += piece
        if time.monotonic() > until:
            raise TimeoutError(f"the server did not send it within {_TIMEOUT} seconds")
    return data


def _byte(value: int) -> bytes:
    return bytes((value,))


@cache
def _warn(text: str) -> None:
    log.warning("%s", text)
