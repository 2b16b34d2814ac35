"""Repositories whose source is a list of mirrors: find one that serves what is listed.

A list is a metalink or a mirrorlist: a text with one URL a line. Nothing that it names is trusted:
the index of a repository is checked as always, and also compared with the digests of a metalink.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import indent
from urllib.parse import urlsplit

from kiwinb.clock import clock_hint
from kiwinb.description.login import split_login
from kiwinb.errors import RepositoryError
from kiwinb.packages.fetch import Wanted, missed
from kiwinb.packages.manager import ResolvedRepository
from kiwinb.packages.metalink import Metalink, Version
from kiwinb.packages.signatures import sha256_of
from kiwinb.packages.variables import replaced
from kiwinb.spelling import shortened
from kiwinb.steps.keys import Digest

_MOST_BYTES = 1 << 20
_MOST_MIRRORS = 30
"""Mirrors that are tried; lists name the nearest ones first."""

_SCHEMES = ("http", "https", "ftp")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MirrorList:
    """A list of mirrors.

    Attributes:
        urls: URLs of the repository, the preferred ones first; there is at least one.
        versions: Versions that its index may have, the current one first; empty if the list does
            not say.
    """

    urls: tuple[str, ...]
    versions: tuple[Version, ...] = ()


def read_list(repository: ResolvedRepository, path: str, work: Path) -> MirrorList:
    """Download and read the list of a repository.

    Args:
        repository: The repository, whose URLs are those of the list.
        path: Path of the index in the repository.
        work: Directory for the list.

    Raises:
        RepositoryError: The list cannot be downloaded or read, or names no mirror that can be used.
    """
    file = work / ".list"
    if reasons := missed(repository, [Wanted("", file, most=_MOST_BYTES)]):
        raise RepositoryError(
            f"{_name(repository)} cannot be downloaded: {'; '.join(reasons.values())}",
            remedy=f"Check its URL, and that this host reaches it. {clock_hint()}",
        )
    data = file.read_bytes()
    file.unlink()
    try:
        if repository.sourcetype == "metalink":
            found = Metalink.read(data, path.rpartition("/")[2])
            end = f"/{path}"
            places = (url.removesuffix(end) for url in found.urls if url.endswith(end))
            listed = MirrorList(tuple(usable(places, repository)), found.versions)
        else:
            listed = MirrorList(tuple(usable(_lines(data), repository)))
    except ValueError as error:
        raise _useless(repository, str(error)) from None
    if not listed.urls:
        said = data.decode(errors="replace").strip().partition("\n")[0]
        which = " with https:" if _only_https(repository) else ""
        raise _useless(
            repository,
            f"it names no http:, https: or ftp: mirror{which}; it begins with "
            f"{shortened(said)[:200]!r}",
        )
    return listed


def _name(repository: ResolvedRepository) -> str:
    where = ", ".join(repository.urls)
    return f"the {repository.sourcetype} of the repository {repository.alias} ({where})"


def _useless(repository: ResolvedRepository, why: str) -> RepositoryError:
    return RepositoryError(
        f"{_name(repository)} cannot be used: {why}",
        remedy="Correct the URL or sourcetype, or name a mirror itself and remove sourcetype.",
    )


def _lines(data: bytes) -> Iterator[str]:
    text = data.decode("utf-8-sig", errors="replace")
    if text.lstrip().startswith("<"):
        raise ValueError("it is XML or HTML, and not one URL a line")
    return (line.strip() for line in text.splitlines() if not line.lstrip().startswith("#"))


def usable(urls: Iterable[str], repository: ResolvedRepository) -> Iterator[str]:
    """Yield the URLs of a list that may be mirrors, with variables replaced.

    A list on a server cannot name files of this host, or users and passwords. If nothing but
    https: vouches for the content of a repository, only https: URLs count.

    Args:
        urls: URLs of repositories that the list names.
        repository: The repository, whose URLs are those of the list.
    """
    schemes: tuple[str, ...] = ("https",) if _only_https(repository) else _SCHEMES
    if all(urlsplit(url).scheme == "file" for url in repository.urls):
        schemes = (*_SCHEMES, "file")
    found = dict.fromkeys(
        replaced(url, dict(repository.variables)).rstrip("/")
        for url in urls
        if _may_be_mirror(url, schemes)
    )
    yield from [*found][:_MOST_MIRRORS]


def _only_https(repository: ResolvedRepository) -> bool:
    return (
        repository.sourcetype == "mirrorlist"
        and not repository.checked
        and not repository.packages_checked
        and all(url.startswith("https:") for url in repository.urls)
    )


def _may_be_mirror(url: str, schemes: Iterable[str]) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    place = parts.netloc if parts.scheme != "file" else parts.path
    plain = url.isprintable() and not any(letter in url for letter in " ?#\\")
    return parts.scheme in schemes and bool(place) and plain and split_login(url)[1] is None


def served_by(repository: ResolvedRepository, urls: tuple[str, ...]) -> ResolvedRepository:
    """Return a repository with mirrors in place of its list.

    The user name and the password for the list are sent to mirrors on the same server only.

    Args:
        repository: The repository, whose URLs are those of the list.
        urls: The mirrors.
    """
    logins = {_server(url): (user, password) for url, user, password in repository.logins}
    own = tuple((url, *logins[_server(url)]) for url in urls if _server(url) in logins)
    return replace(repository, urls=urls, username=None, password=None, url_logins=own)


def _server(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


Get = Callable[[ResolvedRepository], Path]
"""Downloads the index of a repository and checks its signature; returns the file."""

Use = Callable[[ResolvedRepository], None]
"""Reads the index, and downloads what it lists."""


def read_from_mirrors(
    repository: ResolvedRepository, listed: MirrorList, get: Get, use: Use
) -> tuple[str, ...]:
    """Read the metadata of a repository from the first mirror that serves it.

    All mirrors are asked for the current version of the index before an older one is taken, so that
    what is read does not depend on which of them answers first.

    Args:
        repository: The repository, whose URLs are those of the list.
        listed: The list.
        get: Gets the index from the only mirror of a repository; it and ``use`` raise
            :class:`RepositoryError`.
        use: Reads all else, from the mirrors of a repository.

    Returns:
        The mirrors, with the one that served first and those that failed last.

    Raises:
        RepositoryError: None serves it.
    """
    search = _Search(repository, listed, get, use)
    current, older = listed.versions[:1], listed.versions[1:]
    for url in listed.urls:
        if search.serves(url, current, older):
            return search.order(url)
    for _rank, url in sorted(search.outdated, key=lambda item: item[0]):
        if search.serves(url, older, ()):
            return search.order(url)
    lines = [indent(f"{url}: {why}", "  ") for url, why in search.why.items()]
    raise RepositoryError(
        f"none of the mirrors of the repository {repository.alias} can be used; they are those of "
        f"the {repository.sourcetype} {', '.join(repository.urls)}:\n" + "\n".join(lines),
        remedy="Try again later, or name a mirror itself and remove sourcetype. " + clock_hint(),
    )


@dataclass
class _Search:
    """A search for a mirror.

    Attributes:
        why: What is wrong with a mirror, by its URL.
        outdated: Mirrors with an older version: its number among the older ones, and the URL.
        useless: Digests of indexes that cannot be used, whichever mirror has them.
    """

    repository: ResolvedRepository
    listed: MirrorList
    get: Get
    use: Use
    why: dict[str, str] = field(default_factory=dict)
    outdated: list[tuple[int, str]] = field(default_factory=list)
    useless: set[Digest] = field(default_factory=set)

    def order(self, url: str) -> tuple[str, ...]:
        others = (other for other in self.listed.urls if other != url)
        return (url, *sorted(others, key=lambda other: other in self.why))

    def serves(self, url: str, wanted: tuple[Version, ...], known: tuple[Version, ...]) -> bool:
        """Read from a mirror; if it has a version that is only known, note that."""
        try:
            index = self.get(served_by(self.repository, (url,)))
            self._check(url, index, wanted, known)
            self._use(url, index)
        except RepositoryError as error:
            self.why[url] = error.problem
            said = "the mirror %s of the repository %s is passed over: %s"
            _log.warning(said, url, self.repository.alias, error.problem)
            return False
        self.why.pop(url, None)
        return True

    def _check(
        self, url: str, index: Path, wanted: tuple[Version, ...], known: tuple[Version, ...]
    ) -> None:
        if not wanted or any(version.is_of(index) for version in wanted):
            return
        for number, version in enumerate(known):
            if version.is_of(index):
                self.outdated.append((number, url))
                raise RepositoryError(f"its {index.name} is an older one")
        raise RepositoryError(f"its {index.name} is not one that the metalink lists")

    def _use(self, url: str, index: Path) -> None:
        digest = sha256_of(index)
        if digest in self.useless:
            raise RepositoryError(f"its {index.name} is the same as that of another mirror")
        try:
            self.use(served_by(self.repository, self.order(url)))
        except RepositoryError:
            self.useless.add(digest)
            raise
