"""Compare versions of pacman's packages, as vercmp(8) describes."""

from __future__ import annotations

import re

from kiwinb.packages.digits import compare_numbers

_SEGMENT = re.compile(r"(?P<gap>[^0-9A-Za-z]*)(?P<word>[0-9]+|[A-Za-z]+|\Z)")
_LETTER = re.compile("[A-Za-z]")


def compare_alpm_versions(a: str, b: str) -> int:
    """Compare two versions, ``[epoch:]version[-release]``; a missing epoch is 0.

    Releases only count if both versions have one.

    Returns:
        A negative number if ``a`` is earlier than ``b``, 0 if they are equal, a positive number
        if ``a`` is later.
    """
    if a == b:
        return 0
    epoch_a, version_a, release_a = _split(a)
    epoch_b, version_b, release_b = _split(b)
    order = _compare(epoch_a, epoch_b) or _compare(version_a, version_b)
    if order or release_a is None or release_b is None:
        return order
    return _compare(release_a, release_b)


def _split(text: str) -> tuple[str, str, str | None]:
    head = re.match("[0-9]*", text)
    epoch, rest = "0", text
    if head is not None and text[head.end() :].startswith(":"):
        epoch, rest = head[0] or "0", text[head.end() + 1 :]
    version, dash, release = rest.rpartition("-")
    return (epoch, version, release) if dash else (epoch, rest, None)


def _compare(a: str, b: str) -> int:
    at_a = at_b = 0
    while at_a < len(a) and at_b < len(b):
        left, right = _SEGMENT.match(a, at_a), _SEGMENT.match(b, at_b)
        assert left is not None and right is not None, "it matches the empty text"
        at_a, at_b = left.start("word"), right.start("word")
        if at_a == len(a) or at_b == len(b):
            break
        if order := _compare_segments(left, right):
            return order
        at_a, at_b = left.end(), right.end()
    return _compare_rests(a[at_a : at_a + 1], b[at_b : at_b + 1])


def _compare_segments(a: re.Match[str], b: re.Match[str]) -> int:
    if len(a["gap"]) != len(b["gap"]):
        return len(a["gap"]) - len(b["gap"])
    left, right = a["word"], b["word"]
    if left.isdigit() and right.isdigit():
        return compare_numbers(left, right)
    if left.isdigit() or right.isdigit():
        return 1 if left.isdigit() else -1
    return (left > right) - (left < right)


def _compare_rests(left: str, right: str) -> int:
    """Compare what is left when one side has ended: letters are earlier than that end."""
    if not left and not right:
        return 0
    if left:
        return -1 if _LETTER.match(left) else 1
    return 1 if _LETTER.match(right) else -1
