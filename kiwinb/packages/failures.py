"""Turn the output of a package manager that failed into one error, the same for all managers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from kiwinb.errors import PackageError

_MOST_LINES = 20
_MOST_ORIGINS = 5
_BEFORE, _AFTER = 4, 1
"""Lines to show around one that says what is wrong."""


@dataclass(frozen=True)
class Kind:
    """A kind of failure.

    Attributes:
        problem: What is wrong.
        remedy: What to do about it.
    """

    problem: str
    remedy: str


CONFLICT = Kind("the packages cannot be installed together", "Drop one of them.")
MISSING = Kind(
    "the packages need something that no repository has",
    "Drop them, or add the repository that has what is missing.",
)
CLASH = Kind(
    "packages have the same files, or files that are in the tree already",
    "Drop one of the packages, or remove the files first.",
)
SCRIPT = Kind(
    "a script of a package failed",
    "Find out what the script lacks; the log of the step has all of its output.",
)
DAMAGED = Kind(
    "the file of a package is damaged, although it is the one that its repository lists",
    "Use another mirror, and tell whoever runs the repository.",
)


@dataclass(frozen=True)
class Mark:
    """What a line of output looks like that tells of a failure.

    Attributes:
        kind: The kind of the failure.
        pattern: What is found in the line.
        subject: What is found in an earlier line that names the package, if this one does not.
    """

    kind: Kind
    pattern: re.Pattern[str]
    subject: re.Pattern[str] | None = None


def failure(tool: str, lines: Sequence[str], marks: Iterable[Mark]) -> PackageError:
    """Make the error for a run of a tool that failed.

    Args:
        tool: Name of the tool.
        lines: Its output.
        marks: What to look for; the first one that is found counts.
    """
    said = [line for line in lines if line.strip()]
    for mark in marks:
        if found := [place for place, line in enumerate(said) if mark.pattern.search(line)]:
            text = _quoted(_around(said, found, mark.subject))
            return PackageError(f"{mark.kind.problem}:\n{text}", remedy=mark.kind.remedy)
    return PackageError(
        f"{tool} could not install or remove packages in the tree:\n{_quoted(said[-_MOST_LINES:])}",
        remedy=f"The lines above are the last ones of {tool} and of the scripts of packages.",
    )


@contextmanager
def naming_origins(origins: Callable[[], Mapping[str, str]]) -> Iterator[None]:
    """Have errors about packages say which repositories these are of.

    Args:
        origins: Returns the alias of the repository of each package, by its name.

    Raises:
        PackageError: The error, with the repositories.
    """
    try:
        yield
    except PackageError as error:
        raise _with_origins(error, origins()) from error


def _with_origins(error: PackageError, origins: Mapping[str, str]) -> PackageError:
    first, *lines = error.problem.splitlines()
    said = "\n".join(lines)
    named = [
        f"  {name} is of the repository {alias}"
        for name, alias in sorted(origins.items())
        if name in said and _named(name).search(said)
    ]
    return PackageError("\n".join([first, *lines, *named[:_MOST_ORIGINS]]), remedy=error.remedy)


def _named(name: str) -> re.Pattern[str]:
    """Find the name of a package, perhaps with its version, but not in other names and paths."""
    return re.compile(rf"(?<![\w.+/-]){re.escape(name)}(?=[-_]\d|\.*(?:[^\w.+-]|$))", re.MULTILINE)


def _quoted(lines: Iterable[str]) -> str:
    return "\n".join(f"  | {line}" for line in lines)


def _around(
    lines: Sequence[str], found: Sequence[int], subject: re.Pattern[str] | None
) -> list[str]:
    shown: set[int] = set()
    for place in found[:_MOST_LINES]:
        shown.update(range(max(0, place - _BEFORE), min(len(lines), place + _AFTER + 1)))
        if subject is not None:
            named = [other for other in range(place) if subject.search(lines[other])]
            shown.update(named[-1:])
    return [lines[place] for place in sorted(shown)[:_MOST_LINES]]
