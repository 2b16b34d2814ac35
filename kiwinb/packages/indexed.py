"""Metadata of repositories that have one signed index each, read once and checked before each use.

A state has one directory for each repository, with its index and whatever the index states. Its
name, and the key of whatever is built from it, are the digests of the indexes.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from kiwinb.clock import clock_hint
from kiwinb.errors import RepositoryError
from kiwinb.files import replace_file
from kiwinb.packages import states
from kiwinb.packages.fetch import MOST_BYTES, Wanted, fetch, missed
from kiwinb.packages.keys import content_of_key
from kiwinb.packages.manager import PackageRequest, RepositoryState, ResolvedRepository
from kiwinb.packages.mirror_lists import read_from_mirrors, read_list, served_by, usable
from kiwinb.packages.signatures import Flaw, flaw_of, sha256_of
from kiwinb.steps.keys import Digest, digest

_log = logging.getLogger(__name__)

_MOST_OF_MIRROR = 1 << 26
"""Largest size of an index or a signature of a mirror that somebody else names."""

_MIRRORS = "mirrors.json"
"""File in a state: the mirrors of each repository whose source is a list, by its number."""

_TRUST = "Name the file with its key in <signing key=…/> if you trust it, or another mirror. "
_REMEDIES = {
    Flaw.CHANGED: "Run again, as the mirror may have been changing, or use another mirror. ",
    Flaw.EXPIRED: "Name the file with a newer key in <signing key=…/>, or another mirror. ",
}
"""What to do about an index whose signature is wrong."""


class IndexFormat(Protocol):
    """A format of metadata; all methods get the directory of one repository in a state."""

    @property
    def name(self) -> str:
        """Name of its directory in the cache."""
        ...

    @property
    def index(self) -> str:
        """File name of the index in a state."""
        ...

    @property
    def suffix(self) -> str:
        """What the name of the signature has after that of the index."""
        ...

    def path(self, repository: ResolvedRepository) -> str:
        """Return the path of the index in a repository.

        Raises:
            RepositoryError: The repository has no name for it.
        """
        ...

    def complete(self, repository: ResolvedRepository, directory: Path) -> None:
        """Download what the index lists; the index is there, and its signature has been checked.

        Raises:
            RepositoryError: It cannot be downloaded, or is damaged.
        """
        ...

    def date(self, directory: Path) -> int:
        """Return when the index was made, in seconds since 1970-01-01 UTC.

        Raises:
            ValueError: The index is damaged.
        """
        ...

    def strange(self, directory: Path) -> set[str]:
        """Return the names of files that are not what the index states, or missing.

        Raises:
            OSError: A file cannot be read.
            ValueError: The index is damaged.
        """
        ...


def directory_of(state: Path, number: int) -> Path:
    """Return the directory of a repository in a state, by its number."""
    return state / "lists" / f"{number:03}"


def refresh(
    kind: IndexFormat,
    repositories: Sequence[ResolvedRepository],
    arch: str,
    cache: Path,
    *,
    force: bool,
) -> RepositoryState:
    """Read the metadata of repositories, or reuse metadata that was read before.

    Args:
        kind: The format of the metadata.
        repositories: All repositories of the description.
        arch: Architecture of the packages, as ``uname -m`` prints it.
        cache: Directory for downloads.
        force: Whether to read it again in any case.

    Raises:
        RepositoryError: A repository cannot be reached, its signature is not valid, or packages
            are not installed from any repository.
    """
    used = states.used_of(repositories)
    home = cache / kind.name / "lists" / states.identity(used, arch)
    if not force and (state := _read_state(kind, home, used, cache)):
        return state
    home.mkdir(parents=True, exist_ok=True)
    with states.locked(home / "lock"):
        if not force and (state := _read_state(kind, home, used, cache)):
            return state
        state = _fetch(kind, home, used, cache)
        states.remove_old(home, state.metadata, lambda path: (path / "lists").is_dir())
        return state


def _fetch(
    kind: IndexFormat, home: Path, repositories: Sequence[ResolvedRepository], cache: Path
) -> RepositoryState:
    with tempfile.TemporaryDirectory(dir=home, prefix=".new-") as work:
        fresh = Path(work, "state")
        seen = cache / kind.name / "seen"
        mirrors = {
            number: _download(kind, repository, directory_of(fresh, number), seen)
            for number, repository in enumerate(repositories)
        }
        dates = _dates(kind, fresh, repositories)
        states.refuse_older(repositories, dates, seen)
        digests = _digests(kind, fresh, repositories)
        state = home / digest(digests)
        try:
            check(kind, state, digests)
        except RepositoryError:
            check(kind, fresh, digests)
            shutil.rmtree(state, ignore_errors=True)
            fresh.rename(state)
        else:
            _renew_signatures(kind, fresh, state, len(repositories))
        states.note_checked(state, state / "lists")
    replace_file(state / _MIRRORS, json.dumps(mirrors))
    states.remember(repositories, dates, seen)
    read_at = time.time()
    replace_file(home / "current.json", json.dumps({"state": state.name, "read_at": read_at}))
    return RepositoryState(digests, max(dates), state, read_at)


def _renew_signatures(kind: IndexFormat, fresh: Path, state: Path, count: int) -> None:
    """Take over the signatures that were just checked: indexes may have been signed again."""
    for number in range(count):
        signature = _signature(kind, directory_of(fresh, number))
        if signature.exists():
            replace_file(_signature(kind, directory_of(state, number)), signature.read_bytes())


def _download(
    kind: IndexFormat, repository: ResolvedRepository, directory: Path, seen: Path
) -> tuple[str, ...]:
    """Download the metadata of a repository, and return the mirrors that its list names."""
    if repository.sourcetype is None:
        _get_index(kind, repository, directory)
        kind.complete(repository, directory)
        return ()

    def use(served: ResolvedRepository) -> None:
        kind.complete(served, directory)
        states.refuse_older([served], [kind.date(directory)], seen)

    directory.mkdir(parents=True)
    return read_from_mirrors(
        repository,
        read_list(repository, kind.path(repository), directory),
        lambda served: _get_index(kind, served, directory),
        use,
    )


def _get_index(kind: IndexFormat, repository: ResolvedRepository, directory: Path) -> Path:
    """Download the index of a repository; nothing reads it before its signature is checked."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    index, path = directory / kind.index, kind.path(repository)
    most = MOST_BYTES if repository.sourcetype is None else _MOST_OF_MIRROR
    wanted = [
        Wanted(path, index, most=most),
        Wanted(path + kind.suffix, _signature(kind, directory), optional=True, most=most),
    ]
    if repository.sourcetype is None:
        fetch(repository, wanted)
    elif why := missed(repository, wanted):
        raise RepositoryError("; ".join(f"{item.path}: {said}" for item, said in why.items()))
    _check_signature(kind, repository, directory)
    return index


def reachable(request: PackageRequest, number: int) -> ResolvedRepository:
    """Return a repository as packages are downloaded from it: with mirrors in place of a list.

    Args:
        request: The request.
        number: Number of the repository among those that packages are installed from.

    Raises:
        RepositoryError: The mirrors that were read with the metadata are not known any more.
    """
    repository = request.used[number]
    if repository.sourcetype is None:
        return repository
    try:
        return served_by(repository, _mirrors(request.state.metadata, number, repository))
    except (OSError, ValueError) as error:
        raise _changed(f"the mirrors of {repository.alias} ({error})") from None


def _mirrors(state: Path, number: int, repository: ResolvedRepository) -> tuple[str, ...]:
    """The mirrors that a list named when the state was read.

    Raises:
        OSError: They cannot be read.
        ValueError: They are damaged.
    """
    known = json.loads((state / _MIRRORS).read_text())
    urls = known.get(str(number)) if isinstance(known, dict) else None
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
        raise ValueError("they are damaged")
    if not (mirrors := tuple(usable(urls, repository))):
        raise ValueError("there are none")
    return mirrors


def _signature(kind: IndexFormat, directory: Path) -> Path:
    return directory / (kind.index + kind.suffix)


def _check_signature(kind: IndexFormat, repository: ResolvedRepository, directory: Path) -> None:
    """Check that an index is signed with a key of its repository.

    An index without a signature is taken if those of its packages are checked instead.

    Raises:
        RepositoryError: It is not.
    """
    if not repository.checked:
        return
    signature = _signature(kind, directory)
    if not signature.exists():
        if repository.index_required or repository.packages_checked is False:
            raise RepositoryError(
                f"the index of the repository {repository.alias} has no signature "
                f"({kind.path(repository)}{kind.suffix})",
                remedy='Set package_gpgcheck="true" to check the signatures of its packages '
                'instead, or repository_gpgcheck="false" to use it unchecked.',
            )
        return
    keys = [content_of_key(key, repository.alias) for key in repository.keys]
    if flaw := flaw_of(directory / kind.index, keys, signature):
        names = ", ".join(str(key.path) for key in repository.keys)
        raise RepositoryError(
            f"the signature of the index of the repository {repository.alias} is not one by the "
            f"keys that the description names ({names}): {flaw.value}",
            remedy=_REMEDIES.get(flaw, _TRUST) + clock_hint(),
        )


def checks_packages(kind: IndexFormat, request: PackageRequest, number: int) -> bool:
    """Tell whether the signatures of packages are checked: said, or as their index has none.

    Args:
        kind: The format of the metadata.
        request: The request.
        number: Number of the repository of the packages.
    """
    repository = request.used[number]
    if repository.packages_checked is not None:
        return repository.packages_checked
    signature = _signature(kind, directory_of(request.state.metadata, number))
    return request.packages_checked or (repository.checked and not signature.exists())


def _dates(kind: IndexFormat, state: Path, repositories: Sequence[ResolvedRepository]) -> list[int]:
    return [kind.date(directory_of(state, number)) for number in range(len(repositories))]


def _digests(
    kind: IndexFormat, state: Path, repositories: Sequence[ResolvedRepository]
) -> tuple[tuple[str, Digest], ...]:
    return tuple(
        (repository.alias, sha256_of(directory_of(state, number) / kind.index))
        for number, repository in enumerate(repositories)
    )


def _read_state(
    kind: IndexFormat, home: Path, repositories: Sequence[ResolvedRepository], cache: Path
) -> RepositoryState | None:
    """The state that was read last; ``None`` if there is none, or if it is not to be trusted."""
    try:
        record = json.loads((home / "current.json").read_text())
        state, read_at = home / Path(record["state"]).name, float(record["read_at"])
        digests = _digests(kind, state, repositories)
        dates = _dates(kind, state, repositories)
        for number, repository in enumerate(repositories):
            if repository.sourcetype is not None:
                _mirrors(state, number, repository)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    try:
        for number, repository in enumerate(repositories):
            _check_signature(kind, repository, directory_of(state, number))
        states.check_name(state, digests)
        states.refuse_older(repositories, dates, cache / kind.name / "seen")
        states.check_unless_untouched(
            state, state / "lists", digests, lambda path, wanted: check(kind, path, wanted)
        )
    except RepositoryError as error:
        _log.warning("%s. kiwinb reads them anew.", error.problem)
        return None
    states.touch(state)
    return RepositoryState(digests, max(dates), state, read_at)


def check(kind: IndexFormat, state: Path, digests: Sequence[tuple[str, Digest]]) -> None:
    """Check that the metadata is what the indexes state, and that there is no other.

    Args:
        kind: The format of the metadata.
        state: Directory of the state.
        digests: Alias of each repository, and the SHA-256 of its index.

    Raises:
        RepositoryError: It is not.
    """

    def strange(number: int) -> tuple[str, set[str]]:
        alias, wanted = digests[number]
        directory = directory_of(state, number)
        if sha256_of(directory / kind.index) != wanted:
            return alias, {kind.index}
        return alias, kind.strange(directory)

    try:
        with ThreadPoolExecutor() as threads:
            for alias, names in threads.map(strange, range(len(digests))):
                if names:
                    raise _changed(f"{', '.join(sorted(names))} of {alias}")
    except (OSError, ValueError) as error:
        raise _changed(str(error)) from None


def _changed(what: str) -> RepositoryError:
    return RepositoryError(
        f"cached metadata is not what the repositories signed: {what}",
        remedy="Something has changed the download cache. Run again with --clear-cache to read "
        "the metadata anew, and find out who can write to the cache.",
    )


def checked(kind: IndexFormat, state: RepositoryState) -> Path:
    """Check the metadata of a state, and return its directory.

    Raises:
        RepositoryError: It is not what the state says. The next build reads it anew.
    """
    try:
        check(kind, state.metadata, state.digests)
    except RepositoryError:
        states.forget_check(state.metadata)
        raise
    return state.metadata
