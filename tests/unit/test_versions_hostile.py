"""Versions in databases are what someone wrote: comparing them takes no long time, and no error."""

import time
from collections.abc import Callable

import pytest

from kiwinb.packages.databases import DATABASES

LONG = {
    "digits": "1" * 100_000,
    "an epoch": "9" * 100_000 + ":1",
    "segments": "1.a" * 50_000,
    "separators": "." * 100_000,
    "suffixes": "1" + "_p1" * 50_000,
    "a release": "1-" + "2" * 100_000,
    "nothing": "",
    "digits that are none here": "١٢٣:٤",
    "bytes that are no text": "1.\udcff-1",
}


@pytest.mark.parametrize("name", DATABASES)
@pytest.mark.parametrize("kind", LONG)
def test_any_text_has_a_place(name: str, kind: str) -> None:
    compare: Callable[[str, str], int] = DATABASES[name].compare
    begun = time.process_time()
    for other in (LONG[kind] + "1", "1", LONG["segments"]):
        assert compare(LONG[kind], LONG[kind]) == 0
        order, reverse = compare(LONG[kind], other), compare(other, LONG[kind])
        assert (order > 0) - (order < 0) == (reverse < 0) - (reverse > 0)
    assert time.process_time() - begun < 5
