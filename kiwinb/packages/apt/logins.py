"""Tell apt user names and passwords of repositories.

apt_auth.conf(5) has neither quotes nor escapes: a blank ends a user name or a password. In the URI
of a source, each character can be written as ``%20``, but apt does not send what a URI holds to the
place that a server redirects to. So only logins with blanks or an empty word go into URIs, in
private copies of the sources. apt leaves them out of its messages and file names.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

from kiwinb.errors import RepositoryError
from kiwinb.packages.manager import ResolvedRepository

_BLANK = re.compile(r"\s", re.ASCII)


def source_name(number: int) -> str:
    """Return the name of the ``.sources`` file of a repository, by its number."""
    return f"{number:03}.sources"


def auth_conf(repositories: Sequence[ResolvedRepository]) -> str:
    """Return the text of apt_auth.conf(5), with the entries of the repositories and the host.

    The first entry whose place a URL begins with counts. So longer places come first, and those of
    the repositories before those of the host.
    """
    entries: dict[str, str] = {}
    for repository in repositories:
        for url, user, password in repository.logins:
            if not _needs_uri(user, password):
                parts = urlsplit(url)
                place = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/"
                entries.setdefault(place, f"machine {place} login {user} password {password}\n")
    lines = [entries[place] for place in sorted(entries, key=len, reverse=True)]
    for file in (Path("/etc/apt/auth.conf"), *sorted(Path("/etc/apt/auth.conf.d").glob("*.conf"))):
        if os.access(file, os.R_OK):
            lines.append(f"{file.read_text(encoding='utf-8', errors='surrogateescape')}\n")
    return "".join(lines)


def with_logins(sources: Path, repositories: Sequence[ResolvedRepository], private: Path) -> Path:
    """Return the directory of sources, or of copies that hold the logins with blanks.

    The copies have the times of the originals, because apt compares them with that of its cache.

    Args:
        sources: Directory of the ``.sources`` files.
        repositories: Their repositories, in their order.
        private: Where to create the directory of copies, if they are needed.

    Raises:
        RepositoryError: A login with blanks belongs to several URLs.
    """
    secret = dict(_sources_with_logins(sources, repositories))
    if not secret:
        return sources
    private.mkdir(mode=0o700)
    for file in sources.iterdir():
        copy = private / file.name
        write_secret(copy, secret.get(file.name) or file.read_text())
        shutil.copystat(file, copy)
        copy.chmod(0o600)
    return private


def _sources_with_logins(
    sources: Path, repositories: Sequence[ResolvedRepository]
) -> Iterator[tuple[str, str]]:
    for number, repository in enumerate(repositories):
        needed = [login for login in repository.logins if _needs_uri(*login[1:])]
        if not needed:
            continue
        if len(repository.urls) > 1:
            raise RepositoryError(
                f"the repository {repository.alias} has several URLs, and its user name or "
                "password is empty or has blanks, which apt can use with one URL only",
                remedy="Name one URL, or choose another password.",
            )
        ((url, user, password),) = needed
        login = f"{quote(user, '')}:{quote(password, '')}"
        scheme, _, rest = url.partition("://")
        text = (sources / source_name(number)).read_text()
        yield source_name(number), text.replace(f" {url}\n", f" {scheme}://{login}@{rest}\n")


def _needs_uri(user: str, password: str) -> bool:
    """Whether apt_auth.conf(5) cannot hold a login: a word is empty or has blanks."""
    return any(not text or _BLANK.search(text) for text in (user, password))


def write_secret(file: Path, text: str) -> None:
    """Write a file that nobody else can read."""
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8", errors="surrogateescape")
