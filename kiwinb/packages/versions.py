"""Compare Debian package versions."""

from __future__ import annotations

import re
from itertools import zip_longest

from kiwinb.packages.digits import Rank, compare_numbers, rank

_PIECE = re.compile(r"([^0-9]*)([0-9]*)")
_EPOCH = re.compile("([0-9]+):")
_Piece = tuple[tuple[int, ...], Rank]
_END: _Piece = ((0,), rank(""))


def compare_versions(a: str, b: str) -> int:
    """Compare two versions by the algorithm of Debian Policy, section 5.6.12.

    Returns:
        A negative number if ``a`` is earlier than ``b``, 0 if they are equal, a positive number
        if ``a`` is later.
    """
    epoch_a, upstream_a, revision_a = _split(a)
    epoch_b, upstream_b, revision_b = _split(b)
    return (
        compare_numbers(epoch_a, epoch_b)
        or _compare_part(upstream_a, upstream_b)
        or _compare_part(revision_a, revision_b)
    )


def _split(version: str) -> tuple[str, str, str]:
    found = _EPOCH.match(version)
    epoch, rest = (found[1], version[found.end() :]) if found else ("", version)
    upstream, dash, revision = rest.rpartition("-")
    return (epoch, upstream, revision) if dash else (epoch, rest, "")


def _compare_part(a: str, b: str) -> int:
    for left, right in zip_longest(_pieces(a), _pieces(b), fillvalue=_END):
        if left != right:
            return -1 if left < right else 1
    return 0


def _pieces(part: str) -> list[_Piece]:
    return [((*map(_weight, text), 0), rank(number)) for text, number in _PIECE.findall(part)]


def _weight(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) + (0 if character.isalpha() else 256)
