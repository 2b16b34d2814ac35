"""Compare Debian package versions."""

from __future__ import annotations

import re
from itertools import zip_longest

_PIECE = re.compile(r"(\D*)(\d*)")
_Piece = tuple[tuple[int, ...], int]
_END: _Piece = ((0,), 0)


def compare_versions(a: str, b: str) -> int:
    """Compare two versions by the algorithm of Debian Policy, section 5.6.12.

    Returns:
        A negative number if ``a`` is earlier than ``b``, 0 if they are equal, a positive number
        if ``a`` is later.
    """
    epoch_a, upstream_a, revision_a = _split(a)
    epoch_b, upstream_b, revision_b = _split(b)
    return (
        epoch_a - epoch_b
        or _compare_part(upstream_a, upstream_b)
        or _compare_part(revision_a, revision_b)
    )


def _split(version: str) -> tuple[int, str, str]:
    head, colon, rest = version.partition(":")
    epoch, rest = (int(head), rest) if colon and head.isdecimal() else (0, version)
    upstream, dash, revision = rest.rpartition("-")
    return (epoch, upstream, revision) if dash else (epoch, rest, "")


def _compare_part(a: str, b: str) -> int:
    for left, right in zip_longest(_pieces(a), _pieces(b), fillvalue=_END):
        if left != right:
            return -1 if left < right else 1
    return 0


def _pieces(part: str) -> list[_Piece]:
    return [((*map(_weight, text), 0), int(number or 0)) for text, number in _PIECE.findall(part)]


def _weight(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) + (0 if character.isalpha() else 256)
