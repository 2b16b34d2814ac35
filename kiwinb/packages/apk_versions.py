"""Compare versions of Alpine's packages, as apk-package(5) describes.

A version is ``number{.number}…{letter}{_suffix{number}}…{~hash}{-r#}``.
"""

from __future__ import annotations

import re

from kiwinb.packages.digits import compare_numbers

_SUFFIXES = ("alpha", "beta", "pre", "rc", "", "cvs", "svn", "git", "hg", "p")
"""From the earliest to the latest; the empty one stands for no suffix."""

_NO_SUFFIX = _SUFFIXES.index("")
_FIRST, _NUMBER, _LETTER, _SUFFIX, _SUFFIX_NUMBER, _HASH, _REVISION, _END, _INVALID = range(9)
_PIECES = (
    (_NUMBER, re.compile(r"\.([0-9]+)")),
    (_LETTER, re.compile(r"([a-z])")),
    (_SUFFIX, re.compile(r"_([a-z]+)")),
    (_SUFFIX_NUMBER, re.compile(r"([0-9]+)")),
    (_HASH, re.compile(r"~([0-9a-f]+)")),
    (_REVISION, re.compile(r"-r([0-9]+)")),
)
_AFTER = {
    _FIRST: (_NUMBER, _LETTER, _SUFFIX, _HASH, _REVISION),
    _NUMBER: (_NUMBER, _LETTER, _SUFFIX, _HASH, _REVISION),
    _LETTER: (_SUFFIX, _HASH, _REVISION),
    _SUFFIX: (_SUFFIX, _SUFFIX_NUMBER, _HASH, _REVISION),
    _SUFFIX_NUMBER: (_SUFFIX, _HASH, _REVISION),
    _HASH: (_REVISION,),
    _REVISION: (),
}
"""The kinds of pieces that may follow each kind."""

_START = re.compile("[0-9]+")
_Piece = tuple[int, str]


def compare_apk_versions(a: str, b: str) -> int:
    """Compare two versions.

    Returns:
        A negative number if ``a`` is earlier than ``b``, 0 if they are equal, a positive number
        if ``a`` is later.
    """
    return _compare(_pieces(a), _pieces(b))


def begins_with(version: str, prefix: str) -> bool:
    """Tell whether a version is one of those that a prefix stands for, as with ``~``."""
    for (kind, piece), (wanted_kind, wanted) in zip(
        _pieces(version), _pieces(prefix), strict=False
    ):
        if kind != wanted_kind:
            return wanted_kind == _END
        if _compare_same(kind, piece, wanted):
            return False
    return True


def _pieces(version: str) -> list[_Piece]:
    """Split a version; the last piece is its end, or what makes it invalid."""
    start = _START.match(version)
    if start is None:
        return [(_INVALID, "")]
    found, at = [(_FIRST, start[0])], start.end()
    while at < len(version):
        for kind, pattern in _PIECES:
            match = pattern.match(version, at)
            if match is not None and kind in _AFTER[found[-1][0]]:
                break
        else:
            return [*found, (_INVALID, "")]
        if kind == _SUFFIX and match[1] not in _SUFFIXES:
            return [*found, (_INVALID, "")]
        found.append((kind, match[1]))
        at = match.end()
    return [*found, (_END, "")]


def _compare(a: list[_Piece], b: list[_Piece]) -> int:
    for (kind_a, left), (kind_b, right) in zip(a, b, strict=False):
        if kind_a != kind_b:
            return _differing(kind_a, left, kind_b, right)
        order = _compare_same(kind_a, left, right)
        if order or kind_a in (_END, _INVALID):
            return order
    return 0


def _differing(kind_a: int, left: str, kind_b: int, right: str) -> int:
    """Compare pieces of different kinds; suffixes of versions before a release are earliest."""
    if kind_a == _SUFFIX and _SUFFIXES.index(left) < _NO_SUFFIX:
        return -1
    if kind_b == _SUFFIX and _SUFFIXES.index(right) < _NO_SUFFIX:
        return 1
    return kind_b - kind_a


def _compare_same(kind: int, left: str, right: str) -> int:
    if kind == _SUFFIX:
        return _SUFFIXES.index(left) - _SUFFIXES.index(right)
    fraction = kind == _NUMBER and "0" in (left[0], right[0])
    if kind in (_FIRST, _NUMBER, _SUFFIX_NUMBER, _REVISION) and not fraction:
        return compare_numbers(left, right)
    return (left > right) - (left < right)
