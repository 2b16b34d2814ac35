"""Download files of repositories with curl, and make sure that they are those that are listed."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from kiwinb.clock import clock_hint
from kiwinb.errors import RepositoryError
from kiwinb.files import open_regular
from kiwinb.packages.manager import ResolvedRepository
from kiwinb.packages.signatures import digest_of
from kiwinb.sandbox.command import run
from kiwinb.sandbox.environment import PROXIES
from kiwinb.steps.keys import Digest

MOST_BYTES = 1 << 32
"""Largest size of a file whose size a repository does not state."""

CONNECT_SECONDS = 20
STALL_SECONDS = 60
"""Seconds without data after which a download ends; each URL of a repository is given them."""

_AT_ONCE = 6
_NOT_THERE = ("22", "37", "78")
"""What curl says of a file that a server does not have: HTTP errors, file:, ftp:."""

_NOT_FOUND = ("403", "404", "410")
"""HTTP responses of servers that do not have a file; some say 403 if they list nothing."""

_NOT_WRITTEN, _TOO_LARGE = "23", "63"
"""What it says of a file that it cannot write, and of one that is larger than it may be."""

_ANOTHER = "another"
"""Stands for curl's number where the file that has arrived is not the one that is listed."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_PROBE = 1 << 16

_PIECE = 1 << 20
_UNSAFE = re.compile(r"(^|/)\.\.?(/|$)|^/|[\0-\x1f\x7f]")


@dataclass(frozen=True)
class Wanted:
    """A file of a repository.

    Attributes:
        path: Path below the URL of the repository; empty for what is at the URL itself.
        target: File to write.
        size: Size in bytes; ``None`` if the repository does not state it.
        digest: SHA-256, SHA-384 or SHA-512; ``None`` if the repository does not state it.
        optional: Whether the repository need not have it.
        most: Largest size in bytes, if the repository does not state the size.
    """

    path: str
    target: Path
    size: int | None = None
    digest: Digest | None = None
    optional: bool = False
    most: int = MOST_BYTES


def fetch(repository: ResolvedRepository, wanted: Sequence[Wanted]) -> None:
    """Download files; each URL of the repository is tried for those that others do not have.

    Raises:
        RepositoryError: A file cannot be downloaded, or is not the one that is listed.
        OSError: The disk is full.
    """
    needed, why = _fetch(repository, wanted)
    if needed:
        raise _failed(repository, needed, why)


def missed(repository: ResolvedRepository, wanted: Sequence[Wanted]) -> Mapping[Wanted, str]:
    """Download files, as :func:`fetch` does; return why those that are needed are not there.

    Raises:
        RepositoryError: The repository lists a file at a path that is none.
    """
    needed, why = _fetch(repository, wanted)
    return {item: _words(why[item.target]) for item in needed}


def _fetch(
    repository: ResolvedRepository, wanted: Sequence[Wanted]
) -> tuple[list[Wanted], dict[Path, str]]:
    """Download files; return those that are needed and not there, and what is wrong with each."""
    for item in wanted:
        if _UNSAFE.search(item.path):
            raise RepositoryError(
                f"the repository {repository.alias} lists a file at a path that is none: "
                f"{item.path!r}",
                remedy="Use another mirror, and tell whoever runs this one.",
            )
    left, why = list(wanted), dict[Path, str]()
    for url in repository.urls:
        get = _copied if urlsplit(url).scheme == "file" else _downloaded
        why.update(get(repository, url, left))
        left = [item for item in left if item.target in why and not _is_right(item, why)]
        if not left:
            break
    needed = [item for item in left if not (item.optional and _is_missing(why[item.target]))]
    return needed, why


def _is_missing(reason: str) -> bool:
    return reason.partition(" ")[0] in _NOT_THERE


def _is_right(item: Wanted, why: dict[Path, str]) -> bool:
    """Check a file that was downloaded; one that is wrong is removed."""
    if reason := why[item.target]:
        if reason.startswith(f"{_NOT_WRITTEN} "):
            _check_room(item.target)
        if reason.startswith(f"{_TOO_LARGE} ") and item.size is not None:
            why[item.target] = f"{_ANOTHER} has more than the {item.size} bytes that are listed"
        item.target.unlink(missing_ok=True)
        return False
    if item.size is not None and item.target.stat().st_size != item.size:
        why[item.target] = (
            f"{_ANOTHER} has {item.target.stat().st_size} bytes, but the repository lists "
            f"{item.size}"
        )
    elif item.target.stat().st_size > _most(item):
        why[item.target] = f"{_ANOTHER} is larger than {_most(item)} bytes"
    elif item.digest is not None and digest_of(item.target, len(item.digest)) != item.digest:
        why[item.target] = (
            f"{_ANOTHER} is not the file that the repository lists: its digest is another one"
        )
    else:
        return True
    item.target.unlink()
    return False


def _check_room(target: Path) -> None:
    """Raise the error about a full disk, which curl does not tell, if it is full.

    Raises:
        OSError: It is full.
    """
    try:
        with tempfile.TemporaryFile(dir=target.parent) as probe:
            probe.write(bytes(_PROBE))
    except OSError as error:
        if error.errno in _FULL:
            raise OSError(error.errno, error.strerror, str(target)) from error


def _copied(_repository: ResolvedRepository, url: str, wanted: Sequence[Wanted]) -> dict[Path, str]:
    """Copy files of a directory of this host; return what is wrong with each, empty for nothing."""
    directory, why = Path(unquote(urlsplit(url).path)), {}
    for item in wanted:
        most = _most(item)
        try:
            with (
                open_regular((directory / item.path).resolve()) as source,
                item.target.open("wb") as target,
            ):
                while target.tell() <= most and (piece := source.read(_PIECE)):
                    target.write(piece)
            why[item.target] = ""
        except FileNotFoundError:
            why[item.target] = "37 it does not exist"
        except OSError as error:
            if error.errno in _FULL:
                raise OSError(error.errno, error.strerror, str(item.target)) from error
            why[item.target] = f"0 {error.strerror}"
    return why


def _downloaded(
    repository: ResolvedRepository, url: str, wanted: Sequence[Wanted]
) -> dict[Path, str]:
    """Download files from a server; return what is wrong with each, empty for nothing."""
    login = next((found for found in repository.logins if found[0] == url), None)
    said = run(
        ["curl", "--disable", "--config", "-"],
        input=_config(url, wanted, login and login[1:]),
        env={name: value for name, value in os.environ.items() if name.lower() in PROXIES},
        check=False,
    )
    why = {item.target: "0 curl did not say anything of it" for item in wanted}
    for line in said.splitlines():
        number, status, response, message = (*line.split(" ", 3), "", "", "")[:4]
        if number.isdecimal() and int(number) < len(wanted):
            why[wanted[int(number)].target] = _reason(status, response, message)
    return why


def _reason(status: str, response: str, message: str) -> str:
    """What is wrong with a file, after curl's number for it; empty for nothing.

    Args:
        status: Curl's exit status for the file.
        response: The response code of the server.
        message: What curl says.
    """
    if status == "0" and response.startswith(("4", "5")):  # it gave up when it was to wait
        return f"0 the server answers {response}"
    if status == "22" and response not in _NOT_FOUND:
        return f"0 {message}"
    return "" if status == "0" else f"{status} {message}"


def _config(url: str, wanted: Sequence[Wanted], login: tuple[str, str] | None) -> str:
    """What curl is to do; see "--config" in curl(1). It has the password, so it is no argument."""
    common = {
        "globoff": None,
        "fail": None,
        "location": None,
        "silent": None,
        "proto": "=http,https,ftp",
        "proto-redir": "=https" if url.startswith("https:") else "=http,https,ftp",
        "connect-timeout": str(CONNECT_SECONDS),
        "speed-limit": "68",
        "speed-time": str(STALL_SECONDS),
        "retry": "1",
        "retry-max-time": str(STALL_SECONDS),  # a server may ask to wait for hours
        **({"user": ":".join(login)} if login else {}),
    }
    parts = []
    for number, item in enumerate(wanted):
        options = {
            **common,
            "url": _address(url, item.path),
            "output": str(item.target),
            "max-filesize": str(_most(item)),
            "write-out": f"{number} %{{exitcode}} %{{response_code}} %{{errormsg}}\n",
        }
        parts.append("".join(_line(name, value) for name, value in options.items()))
    return f"parallel\nparallel-max = {_AT_ONCE}\n" + "next\n".join(parts)


def _address(url: str, path: str) -> str:
    return f"{url.rstrip('/')}/{quote(path, safe='/~+:=@!,')}" if path else url


def _line(name: str, value: str | None) -> str:
    if value is None:
        return f"{name}\n"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{name} = "{escaped}"\n'


def _most(item: Wanted) -> int:
    return item.most if item.size is None else item.size


def _failed(
    repository: ResolvedRepository, needed: Sequence[Wanted], why: dict[Path, str]
) -> RepositoryError:
    lines = [f"  {item.path}: {_words(why[item.target])}" for item in needed[:10]]
    if len(needed) > 10:
        lines.append(f"  and {len(needed) - 10} more")
    moved = any(
        item.digest
        and (_is_missing(why[item.target]) or why[item.target].startswith(f"{_ANOTHER} "))
        for item in needed
    )
    return RepositoryError(
        f"files of the repository {repository.alias} cannot be downloaded from "
        f"{', '.join(repository.urls)}:\n" + "\n".join(lines),
        remedy="The repository has changed since its metadata was read: run again with "
        "--clear-cache to read it anew. If that does not help, use another mirror."
        if moved
        else "Check the URL of the repository, and that this host reaches it; what has arrived "
        f"is kept. {clock_hint()}",
    )


def _words(reason: str) -> str:
    status, _, text = reason.partition(" ")
    return text if status.isdecimal() or status == _ANOTHER else reason
