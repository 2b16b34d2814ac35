"""The order of apk's versions, by its documentation: there is no apk to ask."""

import itertools
import random

import pytest

from kiwinb.packages.apk_versions import begins_with, compare_apk_versions

ASCENDING = [
    ["1_alpha", "1_alpha2", "1_beta", "1_pre", "1_rc", "1_rc10", "1", "1_cvs", "1_svn", "1_git"],
    ["1_git", "1_git20240101", "1_hg", "1_p", "1_p1", "1_p1_p2"],
    ["1.2", "1.2-r0", "1.2-r1", "1.2-r10", "1.2~abc", "1.2_p1", "1.2a", "1.2b", "1.2.0", "1.10"],
    ["0.9", "1.09", "1.1", "1.9", "1.10", "9", "10"],
    ["1.36.0_rc1-r5", "1.36.0-r0", "1.36.1_git1-r0", "1.36.2"],
]


@pytest.mark.parametrize("versions", ASCENDING)
def test_order_of_known_versions(versions: list[str]) -> None:
    for a, b in itertools.combinations(versions, 2):
        assert compare_apk_versions(a, b) < 0 < compare_apk_versions(b, a), (a, b)


@pytest.mark.parametrize(("a", "b"), [("01", "1"), ("1_p", "1_p"), ("1-r01", "1-r1"), ("", "x")])
def test_different_spellings_of_one_version(a: str, b: str) -> None:
    assert compare_apk_versions(a, b) == 0


PIECES = ["0", "1", "10", "01", ".1", ".09", "a", "_rc", "_p", "_git1", "~ab", "-r0", "-r2"]


def test_an_order_has_no_circles() -> None:
    """Of a thousand pairs: the reverse is the opposite, and sorting gives one order."""
    generator = random.Random(5)
    made = ["1" + "".join(generator.choices(PIECES, k=generator.randrange(5))) for _ in range(2000)]
    for a, b in zip(made[::2], made[1::2], strict=True):
        one, other = compare_apk_versions(a, b), compare_apk_versions(b, a)
        assert (one > 0) - (one < 0) == (other < 0) - (other > 0), (a, b)
        assert compare_apk_versions(a, a) == 0


@pytest.mark.parametrize(
    ("version", "prefix", "begins"),
    [
        ("1.6", "1.6", True),
        ("1.6.0_pre1", "1.6", True),
        ("1.6.9_p1", "1.6", True),
        ("1.60", "1.6", False),
        ("1", "1.6", False),
        ("1.6-r3", "1.6-r3", True),
        ("1.6-r3", "1.6-r2", False),
    ],
)
def test_versions_that_begin_with_another(version: str, prefix: str, begins: bool) -> None:
    assert begins_with(version, prefix) is begins
