"""Our schema against the published lists of KIWI NG, and the reference against our schema."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from kiwinb.description.document import read
from kiwinb.description.reference import usage, warnings
from kiwinb.description.schema.rules import ElementRule, element_rules, source
from kiwinb.errors import DescriptionError

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests/data"
PUBLISHED: dict[str, Any] = json.loads((DATA / "kiwi-8.5-elements.json").read_text())


def _rules(name: str) -> list[Any]:
    return [rule for rule in element_rules().values() if rule.name == name]


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_every_published_element_attribute_and_value_is_in_the_schema(name: str) -> None:
    rules = _rules(name)
    assert rules
    for attribute, values in PUBLISHED[name].get("attributes", {}).items():
        known = [rule.attributes[attribute] for rule in rules if attribute in rule.attributes]
        assert known, attribute
        if isinstance(values, list):
            allowed = {value for item in known for value in item.datatype.values}
            assert {*values} - {"<token>"} <= allowed, attribute
    children = {child for rule in rules for child in rule.children}
    assert {*PUBLISHED[name].get("children", ())} - {"*"} <= children


@pytest.mark.parametrize("name", ["container", "everything", "old", "profiles", "server"])
def test_sample_descriptions_are_valid(name: str) -> None:
    document = read(DATA / "descriptions" / name)
    assert document.tree.getroot().get("schemaversion") == "8.5"


def test_what_is_accepted_and_not_used_is_told_with_its_place() -> None:
    found = usage(read(DATA / "descriptions/everything").tree)
    assert found
    assert all(item.location.line for item in found)


def _variants() -> list[bytes]:
    """A small valid document, and what it becomes with one thing removed, doubled or renamed."""
    text = (DATA / "descriptions/container/debian.kiwi").read_bytes()
    found = [text]
    for index in range(1, len(list(etree.fromstring(text).iter("*")))):
        for change in ("remove", "double", "rename", "value"):
            root = etree.fromstring(text)
            element = list(root.iter("*"))[index]
            parent = element.getparent()
            assert parent is not None
            if change == "remove":
                parent.remove(element)
            elif change == "double":
                parent.insert(parent.index(element), copy.deepcopy(element))
            elif change == "rename":
                element.tag = "nosuchthing"
            else:
                for name in element.attrib:
                    element.set(name, "")
            found.append(etree.tostring(root))
    return found


def test_the_verdict_is_that_of_relax_ng(tmp_path: Path) -> None:
    schema = etree.RelaxNG(etree.fromstring(source()))
    file = tmp_path / "config.xml"
    verdicts = []
    for text in _variants():
        file.write_bytes(text)
        try:
            read(file)
            ours = True
        except DescriptionError:
            ours = False
        plain = etree.fromstring(text)
        verdicts.append((ours, schema.validate(plain), text))
    assert [text for ours, theirs, text in verdicts if ours != theirs] == []
    assert {ours for ours, _theirs, _text in verdicts} == {True, False}


def test_reference_has_every_published_element_and_attribute() -> None:
    sections = (ROOT / "docs/schema.md").read_text().split("\n## ")
    for name, known in PUBLISHED.items():
        own = [text for text in sections if text.startswith(f"`<{name}>`")]
        assert own, name
        for attribute in known.get("attributes", {}):
            rows = [re.search(rf"^\| `{re.escape(attribute)}`.*$", text, re.M) for text in own]
            found = [row[0] for row in rows if row]
            assert found, f"{attribute} of {name}"
            assert all(re.search(r"\| (honoured|accepted|refused) \|", row) for row in found)


def test_everything_that_is_not_used_is_warned_of_once() -> None:
    tree = read(DATA / "descriptions/everything").tree
    found = usage(tree)
    said = {(item.element, item.attribute) for item in found}
    root = element_rules()["image"]
    unused = set(_unused(tree.getroot(), root))
    assert unused
    assert unused <= said
    lines = warnings(tree)
    assert len(lines) == len(set(lines))
    assert len(lines) == len(
        {(i.element, i.attribute, i.value) for i in found if i.state == "accepted"}
    )
    assert all(re.match(r".+/config\.xml:\d+: <.+>: .+ is valid, but changes", x) for x in lines)


def _unused(element: etree._Element, rule: ElementRule) -> Iterator[tuple[str, str | None]]:
    """Elements and attributes here whose rule says that they are not honoured."""
    if rule.state != "honoured":
        yield rule.name, None
        return
    for name, known in rule.attributes.items():
        if known.state != "honoured" and element.get(name) is not None:
            yield rule.name, name
    for child in element.iterchildren("*"):
        if (known_child := rule.children.get(str(child.tag))) is not None:
            yield from _unused(child, element_rules()[known_child.rule])


def test_the_description_of_everything_has_everything_that_is_not_used() -> None:
    tree = read(DATA / "descriptions/everything").tree
    present = {
        (str(item.tag), name)
        for item in tree.getroot().iter("*")
        for name in (None, *map(str, item.attrib))
    }
    missing = {
        (rule.name, name)
        for rule in element_rules().values()
        for name, state in (
            (None, rule.state),
            *((item.name, item.state) for item in rule.attributes.values()),
        )
        if state != "honoured"
    } - present
    assert missing == set()


def test_one_warning_stands_for_many_places(tmp_path: Path) -> None:
    text = (DATA / "descriptions/server/config.xml").read_text()
    names = "".join(f'<package name="p{n}" bootinclude="true"/>\n' for n in range(5))
    marked = text.replace("</image>", f'<packages type="image">{names}</packages></image>')
    (tmp_path / "config.xml").write_text(marked)
    found = [line for line in warnings(read(tmp_path).tree) if "bootinclude" in line]
    assert len(found) == 1
    assert "4 places more" in found[0]
