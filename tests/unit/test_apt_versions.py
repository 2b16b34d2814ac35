import random
import subprocess

import pytest

from kiwinb.packages.versions import compare_versions

ASCENDING = [
    "0~~",
    "0~",
    "0",
    "0a",
    "0+",
    "0.0",
    "1.0~beta1~svn1245",
    "1.0~beta1",
    "1.0",
    "1.0-1~bpo12+1",
    "1.0-1",
    "1.0-1+b1",
    "1.0-1.1",
    "1.0-1a",
    "1.0a",
    "1.0+dfsg-1",
    "1.2.3",
    "1.2.10",
    "1.2-3-1",
    "2:0.1",
    "10:0",
]


def test_order_of_known_versions() -> None:
    for i, a in enumerate(ASCENDING[:5] + ASCENDING[6:9]):
        for b in (ASCENDING[:5] + ASCENDING[6:9])[i + 1 :]:
            assert compare_versions(a, b) < 0 < compare_versions(b, a), (a, b)


@pytest.mark.parametrize(
    ("a", "b"), [("1.0", "0:1.0"), ("1.0", "1.0-0"), ("1.01", "1.1"), ("007", "7"), ("1", "1")]
)
def test_different_spellings_of_one_version(a: str, b: str) -> None:
    assert compare_versions(a, b) == 0


@pytest.mark.needs("dpkg")
def test_agrees_with_dpkg() -> None:
    generator = random.Random(5612)
    pieces = ["0", "1", "10", "09", ".", "~", "+", "a", "b", "~~", "-", "rc"]
    made = ["0" + "".join(generator.choices(pieces, k=4)).rstrip("-") for _ in range(60)]
    pool = ASCENDING + made + ["1:0" + version for version in made[:10]]
    pairs = [tuple(generator.sample(pool, 2)) for _ in range(1000)]
    script = 'while read -r a b; do dpkg --compare-versions "$a" lt "$b" && echo lt && continue;'
    script += ' dpkg --compare-versions "$a" eq "$b" && echo eq || echo gt; done'
    text = "".join(f"{a} {b}\n" for a, b in pairs)
    done = subprocess.run(["sh", "-c", script], input=text, capture_output=True, text=True)
    answers = done.stdout.split()
    assert len(answers) == len(pairs)
    for (a, b), answer in zip(pairs, answers, strict=True):
        ours = compare_versions(a, b)
        assert answer == ("lt" if ours < 0 else "gt" if ours else "eq"), (a, b)
