"""Write apt's preferences for ignored packages and the priorities of repositories."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from kiwinb.packages.deb822 import paragraphs
from kiwinb.packages.manager import ResolvedRepository

_USUAL = 99
"""Priority of a repository for which the description gives none, as in KIWI NG."""


def preferences(
    repositories: Sequence[ResolvedRepository],
    releases: Sequence[Path | None],
    ignore: Sequence[str],
) -> str:
    """Return the text of an apt_preferences(5) file.

    Repositories get pins only if their priorities differ. All pins are between 500 and 989, so that
    a repository with precedence wins even with an older version, but nothing is downgraded.

    Args:
        repositories: The repositories that packages are installed from.
        releases: Their signed indexes; ``None`` for a repository without one.
        ignore: Packages that must not be installed.
    """
    pins = [_pin(" ".join(ignore), "release *", -1)] if ignore else []
    ranks = sorted({_priority(repository) for repository in repositories}, reverse=True)
    if len(ranks) > 1:
        for repository, release in zip(repositories, releases, strict=True):
            rank = min(ranks.index(_priority(repository)), 48)
            criterion = _criterion(repository, release)
            pins.append(_pin("*", criterion, 500 + 10 * rank))
    return "\n".join(pins)


def _pin(packages: str, criterion: str, priority: int) -> str:
    return f"Package: {packages}\nPin: {criterion}\nPin-Priority: {priority}\n"


def _priority(repository: ResolvedRepository) -> int:
    return _USUAL if repository.priority is None else repository.priority


def _criterion(repository: ResolvedRepository, release: Path | None) -> str:
    """Return the pin that selects a repository: fields of its Release file, or else its host."""
    if release is not None:
        letters = {"origin": "o", "label": "l", "codename": "n", "suite": "a"}
        for fields in paragraphs(release.read_text(encoding="utf-8", errors="replace")):
            if said := [f"{letters[name]}={fields[name]}" for name in letters if name in fields]:
                return "release " + ",".join(said)
    return f'origin "{urlsplit(repository.urls[0]).hostname or ""}"'
