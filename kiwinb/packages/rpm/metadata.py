"""Metadata of rpm-md repositories, read once and checked before each use.

A state has one directory for each repository, with the index (``repomd.xml``), its signature, and
the metadata without compression. Its name, and the key of whatever is built from it, are the
digests of the indexes; each index states the digests of all else.
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

from kiwinb.clock import clock_hint
from kiwinb.errors import RepositoryError
from kiwinb.files import replace_file
from kiwinb.packages import states
from kiwinb.packages.fetch import Wanted, fetch
from kiwinb.packages.keys import content_of_key
from kiwinb.packages.manager import RepositoryState, ResolvedRepository
from kiwinb.packages.rpm.repomd import REPOMD, Part, Repomd, damaged_index
from kiwinb.packages.signatures import digest_of, is_signed_by, sha256_of
from kiwinb.sandbox.decompress import BROKEN_STREAM, open_unpacked
from kiwinb.steps.keys import Digest, digest

_log = logging.getLogger(__name__)

_INDEX = "repomd.xml"
_SIGNATURE = "repomd.xml.asc"
_MOST_OPEN = 4 << 30
_PIECE = 1 << 20


def directory_of(state: Path, number: int) -> Path:
    """Return the directory of a repository in a state, by its number."""
    return state / "lists" / f"{number:03}"


def is_signed(state: Path, number: int) -> bool:
    """Tell whether the index of a repository has a signature, which has been checked then."""
    return (directory_of(state, number) / _SIGNATURE).exists()


def read_index(state: Path, number: int) -> Repomd:
    """Read the index of a repository in a state.

    Raises:
        OSError: It is not there.
        ValueError: It is damaged.
    """
    return Repomd.read((directory_of(state, number) / _INDEX).read_bytes())


def refresh(
    repositories: Sequence[ResolvedRepository], arch: str, cache: Path, *, force: bool
) -> RepositoryState:
    """Read the metadata of repositories, or reuse metadata that was read before.

    Args:
        repositories: All repositories of the description.
        arch: Architecture of the packages, as ``uname -m`` prints it.
        cache: Directory for downloads.
        force: Whether to read it again in any case.

    Raises:
        RepositoryError: A repository cannot be reached, its signature is not valid, or packages
            are not installed from any repository.
    """
    used = states.used_of(repositories)
    home = cache / "rpm/lists" / states.identity(used, arch)
    if not force and (state := _read_state(home, used, cache)):
        return state
    home.mkdir(parents=True, exist_ok=True)
    with states.locked(home / "lock"):
        if not force and (state := _read_state(home, used, cache)):
            return state
        state = _fetch(home, used, cache)
        states.remove_old(home, state.metadata, lambda path: (path / "lists").is_dir())
        return state


def _fetch(home: Path, repositories: Sequence[ResolvedRepository], cache: Path) -> RepositoryState:
    with tempfile.TemporaryDirectory(dir=home, prefix=".new-") as work:
        fresh = Path(work, "state")
        for number, repository in enumerate(repositories):
            directory_of(fresh, number).mkdir(parents=True)
            _fetch_one(repository, directory_of(fresh, number))
        _check_signatures(fresh, repositories)
        dates = _dates(fresh, repositories)
        states.refuse_older(repositories, dates, cache / "rpm/seen")
        digests = _digests(fresh, repositories)
        state = home / digest(digests)
        try:
            check(state, digests)
        except RepositoryError:
            check(fresh, digests)
            shutil.rmtree(state, ignore_errors=True)
            fresh.rename(state)
        states.note_checked(state, state / "lists")
    states.remember(repositories, dates, cache / "rpm/seen")
    read_at = time.time()
    replace_file(home / "current.json", json.dumps({"state": state.name, "read_at": read_at}))
    return RepositoryState(digests, max(dates), state, read_at)


def _fetch_one(repository: ResolvedRepository, directory: Path) -> None:
    index = directory / _INDEX
    fetch(
        repository,
        [
            Wanted(REPOMD, index),
            Wanted(f"{REPOMD}.asc", directory / _SIGNATURE, optional=True),
        ],
    )
    try:
        parts = Repomd.read(index.read_bytes()).parts.values()
    except ValueError as error:
        raise damaged_index(repository, error) from None
    packed = {part: directory / f".{part.kind}" for part in parts}
    fetch(
        repository,
        [Wanted(part.path, file, part.size, part.digest) for part, file in packed.items()],
    )
    for part, file in packed.items():
        _unpack(repository, part, file, directory / part.kind)
        file.unlink()


def _unpack(repository: ResolvedRepository, part: Part, packed: Path, target: Path) -> None:
    most = _MOST_OPEN if part.open_size is None else part.open_size
    try:
        with open_unpacked(packed) as source, target.open("wb") as file:
            while file.tell() <= most and (piece := source.read(_PIECE)):
                file.write(piece)
    except BROKEN_STREAM as error:
        raise damaged_index(repository, f"its {part.kind} metadata is damaged: {error}") from None
    if digest_of(target, len(part.open_digest)) != part.open_digest:
        raise damaged_index(repository, f"its {part.kind} metadata is not what it states")


def _check_signatures(state: Path, repositories: Sequence[ResolvedRepository]) -> None:
    """Check that each index is signed with a key of its repository.

    An index without a signature is taken if those of its packages are checked instead.

    Raises:
        RepositoryError: One is not.
    """
    for number, repository in enumerate(repositories):
        if not repository.checked:
            continue
        directory = directory_of(state, number)
        if not (directory / _SIGNATURE).exists():
            if repository.index_required or repository.packages_checked is False:
                raise _unsigned(repository)
            continue
        keys = [content_of_key(key, repository.alias) for key in repository.keys]
        if not is_signed_by(directory / _INDEX, keys, directory / _SIGNATURE):
            raise RepositoryError(
                f"the index of the repository {repository.alias} is not signed with the keys that "
                f"the description names: {', '.join(str(key.path) for key in repository.keys)}",
                remedy="Name the file with its key in <signing key=…/> if you trust it. "
                + clock_hint(),
            )


def _unsigned(repository: ResolvedRepository) -> RepositoryError:
    return RepositoryError(
        f"the index of the repository {repository.alias} has no signature ({REPOMD}.asc)",
        remedy='Set package_gpgcheck="true" to check the signatures of its packages instead, or '
        'repository_gpgcheck="false" to use it unchecked.',
    )


def _dates(state: Path, repositories: Sequence[ResolvedRepository]) -> list[int]:
    return [read_index(state, number).date for number in range(len(repositories))]


def _digests(
    state: Path, repositories: Sequence[ResolvedRepository]
) -> tuple[tuple[str, Digest], ...]:
    return tuple(
        (repository.alias, sha256_of(directory_of(state, number) / _INDEX))
        for number, repository in enumerate(repositories)
    )


def _read_state(
    home: Path, repositories: Sequence[ResolvedRepository], cache: Path
) -> RepositoryState | None:
    """The state that was read last; ``None`` if there is none, or if it is not to be trusted."""
    try:
        record = json.loads((home / "current.json").read_text())
        state, read_at = home / Path(record["state"]).name, float(record["read_at"])
        digests, dates = _digests(state, repositories), _dates(state, repositories)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    try:
        _check_signatures(state, repositories)
        states.refuse_older(repositories, dates, cache / "rpm/seen")
        states.check_unless_untouched(state, state / "lists", digests, check)
    except RepositoryError as error:
        _log.warning("%s. kiwinb reads them anew.", error.problem)
        return None
    states.touch(state)
    return RepositoryState(digests, max(dates), state, read_at)


def check(state: Path, digests: Sequence[tuple[str, Digest]]) -> None:
    """Check that the metadata is what the indexes state, and that there is no other.

    Args:
        state: Directory of the state.
        digests: Alias of each repository, and the SHA-256 of its index.

    Raises:
        RepositoryError: It is not.
    """
    try:
        with ThreadPoolExecutor() as threads:
            for alias, strange in threads.map(
                lambda number: (digests[number][0], _strange(state, number, digests[number][1])),
                range(len(digests)),
            ):
                if strange:
                    raise _changed(f"{', '.join(sorted(strange))} of {alias}")
    except (OSError, ValueError) as error:
        raise _changed(str(error)) from None


def _strange(state: Path, number: int, wanted: Digest) -> set[str]:
    """The files of a repository that are not what its index states."""
    directory = directory_of(state, number)
    if sha256_of(directory / _INDEX) != wanted:
        return {_INDEX}
    parts = read_index(state, number).parts
    there = {file.name for file in directory.iterdir()}
    wrong = there ^ {_INDEX, *parts, *(there & {_SIGNATURE})}
    return wrong | {
        kind
        for kind, part in parts.items()
        if kind in there and digest_of(directory / kind, len(part.open_digest)) != part.open_digest
    }


def _changed(what: str) -> RepositoryError:
    return RepositoryError(
        f"cached metadata is not what the repositories signed: {what}",
        remedy="Something has changed the download cache. Run again with --clear-cache to read "
        "the metadata anew, and find out who can write to the cache.",
    )


def checked(state: RepositoryState) -> Path:
    """Check the metadata of a state, and return its directory.

    Raises:
        RepositoryError: It is not what the state says. The next build reads it anew.
    """
    try:
        check(state.metadata, state.digests)
    except RepositoryError:
        states.forget_check(state.metadata)
        raise
    return state.metadata
