"""Compare numbers in versions, which may have more digits than Python converts."""

from __future__ import annotations

Rank = tuple[int, str]
"""What orders numbers by their value."""


def rank(digits: str) -> Rank:
    """Return what orders a number, given by its decimal digits; an empty one is 0."""
    plain = digits.lstrip("0")
    return len(plain), plain


def compare_numbers(a: str, b: str) -> int:
    """Compare two numbers, given by their decimal digits; an empty one is 0.

    Returns:
        -1, 0 or 1.
    """
    one, other = rank(a), rank(b)
    return (one > other) - (one < other)
