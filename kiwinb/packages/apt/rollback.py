"""Remember how new the index of each repository was, so that no older one is taken later.

Whoever controls a mirror, or the way to it, can serve an old index: it is signed, and it lists the
packages with the errors of that time. What is remembered belongs to the repository as descriptions
name it, so it counts for all of its mirrors.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from kiwinb.clock import in_words
from kiwinb.errors import RepositoryError
from kiwinb.files import replace_file
from kiwinb.packages.apt.held import Held
from kiwinb.packages.manager import ResolvedRepository, outdated_remedy
from kiwinb.steps.keys import digest


def refuse_older(repositories: Sequence[ResolvedRepository], held: Held, cache: Path) -> None:
    """Refuse signed indexes that are older than one that was seen before.

    Args:
        repositories: The repositories.
        held: Their lists, whose signatures have been checked.
        cache: Directory for downloads.

    Raises:
        RepositoryError: An index is older, and its repository may not be outdated.
    """
    for number, repository in enumerate(repositories):
        if not repository.checked or repository.outdated_allowed:
            continue
        date, newest = held.date(number), _seen(_place(repository, cache))
        if date < newest:
            raise RepositoryError(
                f"the index of the repository {repository.alias} is of {in_words(date)}, but "
                f"kiwinb has seen one of {in_words(newest)}: the mirror is out of date, or "
                "somebody serves an old index to keep updates back",
                remedy=f"Try again later, or name another mirror. {outdated_remedy(repository)}",
            )


def remember(repositories: Sequence[ResolvedRepository], held: Held, cache: Path) -> None:
    """Remember the dates of signed indexes."""
    for number, repository in enumerate(repositories):
        place, date = _place(repository, cache), held.date(number)
        if repository.checked and date > _seen(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"alias": repository.alias, "date": date})
            replace_file(place, text, durable=True)


def _place(repository: ResolvedRepository, cache: Path) -> Path:
    keys = sorted(key.digest for key in repository.keys)
    name = digest([repository.path, repository.distribution, keys])
    return cache / "apt/seen" / f"{name}.json"


def _seen(place: Path) -> int:
    try:
        return int(json.loads(place.read_text())["date"])
    except (OSError, ValueError, TypeError, KeyError):
        return 0
