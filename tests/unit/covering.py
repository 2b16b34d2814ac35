"""Choose combinations of values so that each pair of values occurs, as pairwise testing does."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations

Row = Mapping[str, str]
Pair = frozenset[tuple[str, str]]

_CANDIDATES = 40
_TRIES = 60


def covering(
    factors: Mapping[str, Sequence[str]], possible: Callable[[Row], bool], seed: int = 1
) -> list[Row]:
    """Return rows that together have each possible pair of values of two factors.

    Args:
        factors: The values of each factor.
        possible: Tells whether a row can be made.
        seed: Equal seeds give equal rows.
    """
    chance = random.Random(seed)
    missing = {
        frozenset(pair)
        for one, other in combinations(factors, 2)
        for pair in ((((one, a), (other, b))) for a in factors[one] for b in factors[other])
    }
    rows: list[Row] = []
    while missing:
        wanted = min(missing, key=sorted)
        candidates = _candidates(factors, possible, wanted, chance)
        if not candidates:
            missing.discard(wanted)  # it cannot be made
            continue
        best = max(candidates, key=lambda row: len(missing.intersection(_pairs(row))))
        rows.append(best)
        missing.difference_update(_pairs(best))
    return rows


def _candidates(
    factors: Mapping[str, Sequence[str]],
    possible: Callable[[Row], bool],
    wanted: Pair,
    chance: random.Random,
) -> list[Row]:
    found: list[Row] = []
    for _ in range(_CANDIDATES * _TRIES):
        row = {name: chance.choice(values) for name, values in factors.items()} | dict(wanted)
        if possible(row):
            found.append(row)
            if len(found) == _CANDIDATES:
                break
    return found


def _pairs(row: Row) -> Iterable[Pair]:
    return (frozenset(pair) for pair in combinations(row.items(), 2))
