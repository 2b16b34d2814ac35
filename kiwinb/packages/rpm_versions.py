"""Compare RPM package versions, as rpm-version(7) describes."""

from __future__ import annotations

import re
from itertools import zip_longest

from kiwinb.packages.digits import compare_numbers, rank

_EPOCH = re.compile("([0-9]+):")
_SEGMENT = re.compile(r"~|\^|[0-9]+|[A-Za-z]+")
_Rank = tuple[int, int, str]
_END: _Rank = (1, 0, "")


def compare_rpm_versions(a: str, b: str) -> int:
    """Compare two versions, ``[epoch:]version[-release]``; a missing epoch is 0.

    A version without a release is earlier than the same version with a release.

    Returns:
        A negative number if ``a`` is earlier than ``b``, 0 if they are equal, a positive number
        if ``a`` is later.
    """
    epoch_a, version_a, release_a = _split(a)
    epoch_b, version_b, release_b = _split(b)
    order = compare_numbers(epoch_a, epoch_b) or _compare(version_a, version_b)
    return order or bool(release_a) - bool(release_b) or _compare(release_a, release_b)


def _split(text: str) -> tuple[str, str, str]:
    found = _EPOCH.match(text)
    epoch, rest = (found[1], text[found.end() :]) if found else ("", text)
    version, _, release = rest.partition("-")
    return epoch, version, release


def _compare(a: str, b: str) -> int:
    for left, right in zip_longest(_ranks(a), _ranks(b), fillvalue=_END):
        if left != right:
            return -1 if left < right else 1
    return 0


def _ranks(text: str) -> list[_Rank]:
    """Return ranks of the segments, which sort ``~``, the end, ``^``, letters and numbers so."""
    return [_rank(segment) for segment in _SEGMENT.findall(text)]


def _rank(segment: str) -> _Rank:
    if segment == "~":
        return (0, 0, "")
    if segment == "^":
        return (2, 0, "")
    if segment.isalpha():
        return (3, 0, segment)
    return (4, *rank(segment))
