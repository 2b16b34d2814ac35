"""Malformed descriptions: one clear error each, never a traceback."""

import random
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from kiwinb.description.document import read
from kiwinb.description.select import select
from kiwinb.errors import DescriptionError, DescriptionErrors

DATA = Path(__file__).parents[1] / "data/descriptions"
SEEDS = tuple((DATA / name).read_bytes() for name in ("server/config.xml", "container/debian.kiwi"))
BOMB = (
    b'<!DOCTYPE image [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">'
    b'<!ENTITY c SYSTEM "file:///etc/passwd">]>'
)


def _typo(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text)) if text else 0
    return text[:at] + rng.choice("xqz") + text[at + 1 :]


def _mutate(text: bytes, rng: random.Random) -> bytes:
    kind = rng.choice(
        ("element", "attribute", "value", "remove", "move", "version", "cut", "bytes", "bomb")
    )
    if kind == "cut":
        return text[: rng.randrange(len(text))]
    if kind == "bytes":
        at = rng.randrange(len(text))
        return text[:at] + rng.randbytes(rng.randint(1, 8)) + text[at:]
    root = etree.fromstring(text)
    element = rng.choice(list(root.iter("*")))
    if kind == "element":
        element.tag = _typo(str(element.tag), rng)
    elif kind == "attribute" and element.attrib:
        name = rng.choice(sorted(map(str, element.attrib)))
        element.set(_typo(name, rng), element.attrib.pop(name))
    elif kind == "value" and element.attrib:
        name = rng.choice(sorted(map(str, element.attrib)))
        element.set(name, rng.choice(("", " ", "ture", "-1", "\N{SNOWMAN}", "a" * 5000)))
    elif kind == "remove" and element is not root:
        element.getparent().remove(element)  # type: ignore[union-attr]
    elif kind == "move" and element.tag == "package":
        root.find("preferences").append(element)  # type: ignore[union-attr]
    elif kind == "version":
        root.set("schemaversion", rng.choice(("", "0", "7.3", "8.6", "99", "eight")))
    changed = etree.tostring(root)
    return BOMB + changed if kind == "bomb" else changed


def test_two_hundred_malformed_descriptions_give_an_error_each(tmp_path: Path) -> None:
    verdicts: Counter[str] = Counter()
    file = tmp_path / "config.xml"

    @settings(
        max_examples=600,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(SEEDS), st.integers(0, 2**32).map(random.Random), st.integers(1, 3))
    def check(seed: bytes, rng: random.Random, times: int) -> None:
        try:
            text = seed
            for _ in range(times):
                text = _mutate(text, rng)
        except etree.XMLSyntaxError:
            pass  # the mutation before has made it malformed already
        file.write_bytes(text)
        try:
            select(read(file))
        except DescriptionError as error:
            verdicts["malformed"] += 1
            for one in error.errors if isinstance(error, DescriptionErrors) else (error,):
                assert one.problem
                assert one.remedy
                assert one.location is not None
        else:
            verdicts["valid"] += 1

    check()
    assert verdicts["malformed"] >= 200, verdicts
