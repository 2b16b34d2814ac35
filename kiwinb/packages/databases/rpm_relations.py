"""Read the dependencies of packages of rpm, plain and boolean ones.

Source of the format: "Boolean Dependencies" in the manual of rpm.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from kiwinb.packages.databases.database import Alternatives, Requirement
from kiwinb.packages.databases.rpm_header import Header, Tag

LESS, GREATER, EQUAL = 2, 4, 8
"""Flags of a requirement."""

_RPMLIB = 1 << 24  # a feature of rpm itself
_OPERATORS = {
    LESS: "<<",
    LESS | EQUAL: "<=",
    EQUAL: "=",
    GREATER | EQUAL: ">=",
    GREATER: ">>",
}
_FLAGS = {"<": LESS, "<=": LESS | EQUAL, "=": EQUAL, ">=": GREATER | EQUAL, ">": GREATER}
_WORD = re.compile(r"\s*(\((?=.)|\)|[^\s()]+(?:\([^\s()]*\))*)")
_DEEPEST = 20

Holds = Callable[[Requirement], bool]
_Parsed = tuple[Alternatives, ...]

REQUIRES = (Tag.REQUIRENAME, Tag.REQUIREFLAGS, Tag.REQUIREVERSION)
RECOMMENDS = (Tag.RECOMMENDNAME, Tag.RECOMMENDFLAGS, Tag.RECOMMENDVERSION)
PROVIDES = (Tag.PROVIDENAME, Tag.PROVIDEFLAGS, Tag.PROVIDEVERSION)
CONFLICTS = (Tag.CONFLICTNAME, Tag.CONFLICTFLAGS, Tag.CONFLICTVERSION)
OBSOLETES = (Tag.OBSOLETENAME, Tag.OBSOLETEFLAGS, Tag.OBSOLETEVERSION)


def relations(header: Header, tags: Sequence[int]) -> Iterator[tuple[str, int, str]]:
    """Yield the name, flags and version of each relation of a sort.

    Args:
        header: The header of the package.
        tags: :data:`REQUIRES`, :data:`RECOMMENDS`, :data:`PROVIDES` …
    """
    names, flags, versions = (
        header.strings(tags[0]),
        header.numbers(tags[1]),
        header.strings(tags[2]),
    )
    for place, name in enumerate(names):
        flag = flags[place] if place < len(flags) else 0
        yield name, flag, versions[place] if place < len(versions) else ""


def requirements(header: Header, tags: Sequence[int], holds: Holds) -> Iterator[Alternatives]:
    """Yield what a package requires of other packages.

    Args:
        header: The header of the package.
        tags: :data:`REQUIRES` or :data:`RECOMMENDS`.
        holds: Function that tells whether a package is installed, for ``if`` and ``unless``.
    """
    for name, flags, version in relations(header, tags):
        if flags & _RPMLIB or name.startswith("rpmlib("):
            continue
        if name.startswith("("):
            yield from _Expression(name, holds).read()
        else:
            yield (_requirement(name, flags, version),)


def _requirement(name: str, flags: int, version: str) -> Requirement:
    operator = _OPERATORS.get(flags & (LESS | GREATER | EQUAL), "") if version else ""
    return Requirement(name, operator, version if operator else "")


class _Expression:
    """A boolean dependency, turned into requirements that must all be met."""

    def __init__(self, text: str, holds: Holds) -> None:
        self._words = [match[1] for match in _WORD.finditer(text)][::-1]
        self._holds = holds

    def read(self) -> _Parsed:
        """Return the requirements; none if the expression cannot be read."""
        try:
            return self._operand(0)
        except (IndexError, RecursionError):
            return ()

    def _operand(self, depth: int) -> _Parsed:
        if depth > _DEEPEST:
            raise RecursionError
        word = self._words.pop()
        if word != "(":
            return ((self._named(word),),)
        found = self._operand(depth + 1)
        while (word := self._words.pop()) != ")":
            found = self._joined(found, word, self._operand(depth + 1), depth)
        return found

    def _named(self, name: str) -> Requirement:
        flags, version = 0, ""
        if self._words and self._words[-1] in _FLAGS:
            flags, version = _FLAGS[self._words.pop()], self._words.pop()
        return _requirement(name, flags, version)

    def _joined(self, left: _Parsed, word: str, right: _Parsed, depth: int) -> _Parsed:
        if word == "or":
            return (tuple(item for group in (*left, *right) for item in group),)
        if word in ("and", "with"):
            return (*left, *right)
        if word == "without":
            return left
        other: _Parsed = ()
        if self._words and self._words[-1] == "else":
            self._words.pop()
            other = self._operand(depth + 1)
        holds = all(any(map(self._holds, group)) for group in right)
        return left if holds == (word == "if") else other
