"""States of repositories that are held in the cache: one directory for each, named by its digests.

All package managers keep metadata in this way. It is read once, shared by all builds, and not
changed; a later refresh makes another state.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from kiwinb.clock import in_words
from kiwinb.errors import RepositoryError
from kiwinb.files import replace_file
from kiwinb.packages.manager import ResolvedRepository, outdated_remedy
from kiwinb.steps.keys import Digest, digest

_KEPT_SECONDS = 24 * 3600
_KEPT_STATES = 1
_CHECKED = "checked.json"

Check = Callable[[Path, Sequence[tuple[str, Digest]]], object]
"""Checks the files of a state against the digests of its indexes."""


def identity(repositories: Sequence[ResolvedRepository], architecture: str) -> Digest:
    """Name a set of repositories: how they are read, and all that their content depends on."""
    return digest(
        [
            architecture,
            *(
                {
                    "repository": repository,
                    "urls": repository.urls,
                    "users": [user for _url, user, _password in repository.logins],
                    "outdated": repository.outdated_allowed,
                    "variables": dict(repository.variables),
                }
                for repository in repositories
            ),
        ]
    )


def used_of(repositories: Sequence[ResolvedRepository]) -> list[ResolvedRepository]:
    """Return the repositories that packages are installed from.

    Raises:
        RepositoryError: There are none.
    """
    used = [repository for repository in repositories if repository.used_for_build]
    if not used:
        raise RepositoryError(
            "there is no repository to install packages from",
            remedy='The description has no repository, or all have imageonly="true".',
        )
    return used


def check_name(state: Path, digests: Sequence[tuple[str, Digest]]) -> None:
    """Check that the indexes of a state are those by which it was named when they were read.

    Raises:
        RepositoryError: They are not.
    """
    if state.name != digest(digests):
        raise RepositoryError(
            "cached metadata is not what was read: an index is another one",
            remedy="Something has changed the download cache; find out who can write to it.",
        )


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold a lock, for which other processes wait."""
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def remove_old(home: Path, current: Path, is_state: Callable[[Path], bool]) -> None:
    """Remove states that are too old to be in use, and leftovers of interrupted builds.

    It keeps the state that was used before this one: if the clock of the host has just been set
    forward, it only seems to be old, and another build may be using it.

    Args:
        home: Directory of the states of a set of repositories.
        current: The state to keep in any case.
        is_state: Tells whether a directory is a state.
    """
    now, states, left = time.time(), [], []
    for directory in home.iterdir():
        with suppress(FileNotFoundError):
            item = (directory.stat().st_mtime, directory)
            if directory.name.startswith(".new-"):
                left.append(item)
            elif is_state(directory) and directory != current:
                states.append(item)
    for used, directory in (*left, *sorted(states)[:-_KEPT_STATES]):
        if abs(now - used) > _KEPT_SECONDS:
            shutil.rmtree(directory, ignore_errors=True)


def check_unless_untouched(
    home: Path, lists: Path, digests: Sequence[tuple[str, Digest]], check: Check
) -> None:
    """Check a state, unless its files are as the last check left them.

    Planning does this, so that planning what is done already takes no time. A step does not.

    Args:
        home: Directory of the state.
        lists: Directory of its files.
        digests: Alias of each repository, and the digest of its index.
        check: The check.

    Raises:
        RepositoryError: They are not what the indexes state.
    """
    try:
        if json.loads((home / _CHECKED).read_text()) == _stamps(lists):
            return
    except (OSError, ValueError):
        pass
    check(home, digests)
    note_checked(home, lists)


def note_checked(home: Path, lists: Path) -> None:
    """Note that the files of a state have been checked."""
    replace_file(home / _CHECKED, json.dumps(_stamps(lists)))


def forget_check(home: Path) -> None:
    """Have the next build check the state again."""
    (home / _CHECKED).unlink(missing_ok=True)


def _stamps(lists: Path) -> dict[str, list[int]]:
    return {
        str(file.relative_to(lists)): _stamp(file)
        for directory in (lists, *sorted(path for path in lists.iterdir() if path.is_dir()))
        for file in directory.iterdir()
        if not file.is_dir()
    }


def _stamp(file: Path) -> list[int]:
    about = file.stat()
    return [about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns]


def refuse_older(
    repositories: Sequence[ResolvedRepository], dates: Sequence[int], seen: Path
) -> None:
    """Refuse signed indexes that are older than one that was seen before.

    Whoever controls a mirror, or the way to it, can serve an old index: it is signed, and it lists
    the packages with the errors of that time. What is remembered belongs to the repository as
    descriptions name it, so it counts for all of its mirrors.

    Args:
        repositories: The repositories.
        dates: When the index of each was made, in seconds since 1970-01-01 UTC; the signatures
            have been checked.
        seen: Directory in the cache of what was seen.

    Raises:
        RepositoryError: An index is older, and its repository may not be outdated.
    """
    for repository, date in zip(repositories, dates, strict=True):
        if not repository.checked or repository.outdated_allowed:
            continue
        newest = _seen(_place(repository, seen))
        if date < newest:
            raise RepositoryError(
                f"the index of the repository {repository.alias} is of {in_words(date)}, but "
                f"kiwinb has seen one of {in_words(newest)}: the mirror is out of date, or "
                "somebody serves an old index to keep updates back",
                remedy=f"Try again later, or name another mirror. {outdated_remedy(repository)}",
            )


def remember(repositories: Sequence[ResolvedRepository], dates: Sequence[int], seen: Path) -> None:
    """Remember the dates of signed indexes; see :func:`refuse_older`."""
    for repository, date in zip(repositories, dates, strict=True):
        place = _place(repository, seen)
        if repository.checked and date > _seen(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"alias": repository.alias, "date": date})
            replace_file(place, text, durable=True)


def _place(repository: ResolvedRepository, seen: Path) -> Path:
    keys = sorted(key.digest for key in repository.keys)
    name = digest([repository.path, repository.distribution, keys])
    return seen / f"{name}.json"


def _seen(place: Path) -> int:
    try:
        return int(json.loads(place.read_text())["date"])
    except (OSError, ValueError, TypeError, KeyError):
        return 0


def touch(state: Path) -> None:
    """Note that a state is in use."""
    os.utime(state)
