"""Names in messages: known ones that resemble one which is not known, long ones, many."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SHORTEST = 3
"""Length from which one edit is a likely mistake; almost all shorter names are one edit apart."""

_LONGEST = 60
"""Characters of a word in a message."""

_LONGEST_LIST = 300
"""Characters of a list of names in a message."""

_LONGEST_COMPARED = 200
"""Characters of a name that count; no known name is as long."""

_FEW = 8
"""Names of a list that is too long to be shown whole."""


def shortened(text: str) -> str:
    """A text with the middle of long words left out, for a message."""
    half = _LONGEST // 2
    return re.sub(
        rf"\S{{{_LONGEST + 1},}}", lambda word: f"{word[0][:half]}…{word[0][-half:]}", text
    )


def listed(names: Sequence[str], wanted: str) -> str:
    """Names for a message, separated by commas; of a long list only those nearest to a name.

    Args:
        names: The names.
        wanted: The name that is not one of them.
    """
    whole = ", ".join(names)
    if len(whole) <= _LONGEST_LIST:
        return whole
    near = near_names(wanted, names, count=_FEW, cutoff=0.1) or list(names[:_FEW])
    return f"{', '.join(near)} and {len(names) - len(near)} more"


def near_names(name: str, known: Iterable[str], count: int = 1, cutoff: float = 0.6) -> list[str]:
    """Find the known names that a user may have meant, best first.

    Names that differ in case only come first, then those with two neighbouring letters swapped
    (``kdb``, ``kbd``), then those with one letter more, less or different, then other similar
    names.

    Args:
        name: The name that is not known.
        known: The known names.
        count: How many names to return, at most.
        cutoff: How similar other names have to be, from 0 to 1; see :mod:`difflib`.
    """
    from difflib import SequenceMatcher, get_close_matches  # only wrong names need it

    folded = name.lower()[:_LONGEST_COMPARED]
    spelled = {other.lower(): other for other in known}
    edited = {
        other: rank for other in spelled if (rank := _rank_of_edit(folded, other)) is not None
    }
    matcher = SequenceMatcher(b=folded)

    def order(other: str) -> tuple[int, float, str]:
        matcher.set_seq1(other)
        return edited[other], -matcher.ratio(), other

    similar = get_close_matches(folded, spelled, n=count, cutoff=cutoff)
    best = dict.fromkeys((*sorted(edited, key=order), *similar))
    return [spelled[other] for other in best][:count]


def with_near(name: str, known: Iterable[str], shown: str = "") -> str:
    """A line of a message for a package name that is not known, with those that are near.

    Args:
        name: The name.
        known: The known names.
        shown: What the message calls it, if not by its name.
    """
    near = near_names(name, known, count=3, cutoff=0.75)
    return f"  {shown or name}" + (f" (near: {', '.join(near)})" if near else "")


def _rank_of_edit(a: str, b: str) -> int | None:
    """0 if equal, 1 if two letters are swapped, 2 for another edit of one letter, else ``None``."""
    if a == b:
        return 0
    if abs(len(a) - len(b)) > 1 or min(len(a), len(b)) < _SHORTEST:
        return None
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
    if start is None:  # one is the beginning of the other
        return 2
    rest_a, rest_b = a[start:], b[start:]
    if rest_a[:2] == rest_b[1::-1] and len(rest_a) > 1 and rest_a[2:] == rest_b[2:]:
        return 1
    one = (rest_a[1:], rest_b[1:]), (rest_a[1:], rest_b), (rest_a, rest_b[1:])
    return 2 if any(x == y for x, y in one) else None
