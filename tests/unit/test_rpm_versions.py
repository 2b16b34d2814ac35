import random
import subprocess

import pytest

from kiwinb.packages.rpm_versions import compare_rpm_versions

ASCENDING = [
    "1.0~beta1-1",
    "1.0~rc1",
    "1.0",
    "1.0-3",
    "1.0^git1",
    "1.0a",
    "1.0.a",
    "1.0.1",
    "1.2",
    "1.10",
    "1:0.1",
]


def test_order_of_known_versions() -> None:
    for number, a in enumerate(ASCENDING):
        for b in ASCENDING[number + 1 :]:
            if {a, b} != {"1.0a", "1.0.a"}:  # separators do not count
                assert compare_rpm_versions(a, b) < 0 < compare_rpm_versions(b, a), (a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [("1.0", "0:1.0"), ("1.0", "1_0"), ("1.01", "1.1"), ("1.0a", "1.0.a")],
)
def test_different_spellings_of_one_version(a: str, b: str) -> None:
    assert compare_rpm_versions(a, b) == 0


@pytest.mark.needs("rpm")
def test_agrees_with_rpm_on_a_thousand_pairs() -> None:
    generator = random.Random(418)
    pieces = ["0", "1", "10", "09", ".", "~", "^", "+", "a", "Z", "rc", "git", "_"]

    def version() -> str:
        epoch = generator.choice(["", "", "1:", "0:"])
        release = generator.choice(["", "-1", "-1.fc40", "-2~x", "-lp155.2.1"])
        middle = "".join(generator.choices(pieces, k=generator.randrange(5)))
        return f"{epoch}1{middle}{release}"

    pairs = [(version(), version()) for _ in range(1000)]
    script = "".join(f'print(rpm.vercmp("{a}", "{b}"), " ")' for a, b in pairs)
    done = subprocess.run(
        ["rpm", "--eval", f"%{{lua: {script}}}"], capture_output=True, text=True, check=True
    )
    theirs = [int(word) for word in done.stdout.split()]
    ours = [compare_rpm_versions(a, b) for a, b in pairs]
    signs = [(order > 0) - (order < 0) for order in ours]
    assert len(theirs) == 1000
    assert [p for p, a, b in zip(pairs, signs, theirs, strict=True) if a != b] == []
    assert min(signs.count(sign) for sign in (-1, 0, 1)) > 10
