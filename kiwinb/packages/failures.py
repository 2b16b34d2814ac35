"""Errors about packages and repositories, in the same words for all package managers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from kiwinb.errors import PackageError, RepositoryError

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


def not_signed(alias: str, packages: Sequence[str]) -> PackageError:
    """Make the error for packages that are not signed with the keys of their repository.

    Args:
        alias: Alias of the repository.
        packages: A line about each package.
    """
    return PackageError(
        f"packages of the repository {alias} are not signed with its keys:\n"
        + "\n".join(f"  {line}" for line in packages[:_MOST_LINES]),
        remedy="Name the file with the key in <signing key=…/> of the repository if you trust "
        'it, or set package_gpgcheck="false" to use the packages unchecked.',
    )


def not_installed(tool: str, packages: Sequence[str]) -> PackageError:
    """Make the error for packages that were resolved, but that a tool has not installed.

    Args:
        tool: Name of the tool.
        packages: The packages, with their versions.
    """
    return PackageError(
        f"{tool} did not install what was resolved: {', '.join(packages)}",
        remedy="This is a fault of kiwinb; please report it with the log of the step.",
    )


def checked_names(names: Sequence[str], unfit: re.Pattern[str], index: str) -> list[str]:
    """Return names that no tool takes for options or for files of the host.

    Args:
        names: Names of packages, and of groups of them.
        unfit: What is found in a name that a tool would take for something else.
        index: A command that makes a repository of package files.

    Raises:
        PackageError: One is no name of a package.
    """
    if strange := [name for name in names if not name or unfit.search(name)]:
        raise PackageError(
            "these are no names of packages:\n" + "\n".join(f"  {name}" for name in strange),
            remedy="Name a package of a repository. A package file needs a repository, too: "
            f"{index}",
        )
    return list(names)


def check_printable(alias: str, values: Mapping[str, str]) -> None:
    """Make sure that no value of a repository would be read as another option of a file.

    Args:
        alias: Alias of the repository.
        values: The values, by what to call them in the error.

    Raises:
        RepositoryError: One has a control character.
    """
    for name, value in values.items():
        if not value.isprintable():
            raise RepositoryError(
                f"the repository {alias} has a control character in {name}: {value!r}",
                remedy="Remove it from the description.",
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
