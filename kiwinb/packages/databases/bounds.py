"""Bounds for readers of databases, which may be damaged or made to do harm."""

from __future__ import annotations

import re

from kiwinb.errors import InspectError

MOST_TEXT = 1 << 28
"""Largest number of characters in all paths that a database lists, with :data:`PATH_COST`."""

PATH_COST = 64
"""What a path takes in memory, beside its characters."""

_MOST_SIZE = 1 << 50


def size_of(number: str | int | None) -> int | None:
    """Return a size in bytes, or ``None`` if it cannot be one.

    Args:
        number: The size; text has to consist of a few decimal digits.
    """
    if isinstance(number, str):
        number = int(number) if re.fullmatch("[0-9]{1,16}", number) else None
    return number if number is not None and 0 <= number <= _MOST_SIZE else None


def damaged(where: str, problem: str) -> InspectError:
    """Return the error for a database that cannot be read.

    Args:
        where: The file, and the place in it.
        problem: What is wrong there.
    """
    return InspectError(
        f"{where}: {problem}",
        remedy="The database is damaged; repair it, or make the tree again.",
    )


class Allowance:
    """An amount that a reader may use up.

    Databases can name the same data many times, so that a small file stands for a huge list.

    Args:
        amount: The amount.
        where: The file, for errors.
    """

    def __init__(self, amount: int, where: str) -> None:
        self._left = amount
        self._where = where

    def take(self, amount: int) -> None:
        """Use up a part.

        Raises:
            InspectError: More is used up than there is.
        """
        self._left -= amount
        if self._left < 0:
            raise damaged(self._where, "it lists more than its size allows")
