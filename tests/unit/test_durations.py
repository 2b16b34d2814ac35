"""Times as people read them."""

from __future__ import annotations

import pytest

from kiwinb.durations import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (42.4, "42 s"),
        (99.4, "99 s"),
        (99.6, "1 min 40 s"),
        (187, "3 min 07 s"),
        (5999, "99 min 59 s"),
        (6000, "1 h 40 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
