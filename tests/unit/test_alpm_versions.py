import ctypes
import random
from ctypes.util import find_library

import pytest

from kiwinb.packages.alpm_versions import compare_alpm_versions

ASCENDING = [
    ["1.0a", "1.0b", "1.0beta", "1.0p", "1.0pre", "1.0rc", "1.0", "1.0.a", "1.0.1"],
    ["1", "1.0", "1.1", "1.1.1", "1.2", "2.0", "3.0.0"],
    ["5", "0:6", "1:1", "2:0.1-1", "2:0.1-2", "10:0"],
]
"""The examples of vercmp(8), and epochs."""


@pytest.mark.parametrize("versions", ASCENDING)
def test_order_of_known_versions(versions: list[str]) -> None:
    for number, a in enumerate(versions):
        for b in versions[number + 1 :]:
            assert compare_alpm_versions(a, b) < 0 < compare_alpm_versions(b, a), (a, b)


@pytest.mark.parametrize(
    ("a", "b"), [("1.0", "0:1.0"), ("1.0", "1.0-3"), ("1.01", "1.1"), ("1.0", "1_0"), ("", "")]
)
def test_different_spellings_of_one_version(a: str, b: str) -> None:
    assert compare_alpm_versions(a, b) == compare_alpm_versions(b, a) == 0


@pytest.mark.needs("pacman")
def test_agrees_with_the_library_of_pacman() -> None:
    """On pairs that have little in common, and on those that differ in one place."""
    library = ctypes.CDLL(find_library("alpm"))
    library.alpm_pkg_vercmp.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    generator = random.Random(8)
    pieces = ["0", "1", "2", "10", "09", ".", "..", "_", "+", "~", "-", "a", "Z", "rc", "alpha", ""]

    def version() -> str:
        epoch = generator.choice(["", "", "1:", "0:", ":", "x:"])
        middle = "".join(generator.choices(pieces, k=generator.randrange(6)))
        return f"{epoch}1{middle}{generator.choice(['', '-1', '-2', '-1.1'])}"

    def near(text: str) -> str:
        place = generator.randrange(len(text))
        return text[:place] + generator.choice(pieces) + text[place + generator.randrange(2) :]

    firsts = [version() for _ in range(4000)]
    pairs = [(a, near(a) if number % 2 else version()) for number, a in enumerate(firsts)]
    theirs = [library.alpm_pkg_vercmp(a.encode(), b.encode()) for a, b in pairs]
    ours = [compare_alpm_versions(a, b) for a, b in pairs]
    signs = [(order > 0) - (order < 0) for order in ours]
    assert [p for p, a, b in zip(pairs, signs, theirs, strict=True) if a != b] == []
    assert min(signs.count(sign) for sign in (-1, 0, 1)) > 50
