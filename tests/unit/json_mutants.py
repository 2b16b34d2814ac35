"""Mutants of JSON: one value each is of another type, of another size, or gone."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

_DEEP: Any = []
for _level in range(300):
    _DEEP = [_DEEP]

ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 1e300, 10**30, "", "x", "../../etc/shadow", "\0", "\ud800"),
    *("a" * 100_000, [], {}, [None], [[]], {"": None}, ["x", 5], {"x": {"x": []}}, _DEEP),
)


def places(data: Any) -> Iterator[tuple[Any, Any]]:
    """All values in JSON, each as what holds it and its key or index there."""
    pending = [data]
    while pending:
        holder = pending.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            yield holder, key
            if isinstance(holder[key], dict | list):
                pending.append(holder[key])


def mutant(data: Any, chance: random.Random) -> Any:
    """A copy of JSON with one change."""
    made = copy.deepcopy(data)
    holder, key = chance.choice(list(places(made)))
    if chance.random() < 0.2:
        del holder[key]
    elif chance.random() < 0.1 and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
    else:
        holder[key] = chance.choice(ODD)
    return made
