"""Descriptions in YAML, TOML and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import etree

from kiwinb.description.document import Document, location, read
from kiwinb.description.select import select
from kiwinb.description.show import to_data, to_toml, to_yaml
from kiwinb.description.xml import read_xml
from kiwinb.errors import DescriptionError

DATA = Path(__file__).parents[1] / "data/descriptions"
WILD = DATA / "wild"
NAMES = sorted(
    str(path.relative_to(DATA)) for path in (*DATA.iterdir(), *WILD.iterdir()) if path != WILD
)

YAML = """\
# An image
image:
  '@schemaversion': '8.5'
  '@name': small
  description:
    '@type': system
    author: A
    contact: a@example.org
    specification: "Two\\nlines"

  preferences:
    - version: 1.10
      packagemanager: apt
    - type:
        '@image': tbz
      keytable: ~
  packages:
  - '@type': bootstrap
    package: [{'@name': apt}, {'@name': base-files}]
  - '@type': image

    package:
      '@name': bash
"""
TOML = """\
# An image
[image]
"@schemaversion" = "8.5"
"@name" = 'small'
[image.description]
"@type" = "system"
author = "A"
contact = "a@example.org"
specification = '''
Two
[lines]
x = 1'''

[[image.preferences]]
version = 1.10  # not 1.1
packagemanager = "apt"
[[image.preferences]]
keytable = ""
type."@image" = "tbz"

[[image.packages]]
"@type" = "bootstrap"
package = [
  {"@name" = "apt"},
  {"@name" = "base-files"},
]
[[image.packages]]
"@type" = "image"
[image.packages.package]
"@name" = "bash"
"""
JSON = json.dumps(
    {
        "image": {
            "@schemaversion": "8.5",
            "@name": "small",
            "description": {
                "@type": "system",
                "author": "A",
                "contact": "a@example.org",
                "specification": "\U0001f980 and a\ttab",
            },
            "preferences": [
                {"version": "1.10", "packagemanager": "apt"},
                {"type": {"@image": "tbz"}, "keytable": None},
            ],
            "packages": [
                {"@type": "bootstrap", "package": [{"@name": "apt"}, {"@name": "base-files"}]},
                {"@type": "image", "package": {"@name": "bash"}},
            ],
        }
    },
    indent="\t",
)
TEXTS = {"yaml": YAML, "toml": TOML, "json": JSON}


def _read(directory: Path, form: str, text: str | None = None) -> Document:
    (directory / f"config.{form}").write_text(TEXTS[form] if text is None else text)
    return read(directory)


@pytest.mark.parametrize("form", TEXTS)
def test_a_description(tmp_path: Path, form: str) -> None:
    image = select(_read(tmp_path, form), arch="x86_64")
    assert (image.name, image.version, image.type.image) == ("small", "1.10", "tbz")
    assert image.packages.bootstrap.packages == ("apt", "base-files")
    assert image.packages.image.packages == ("bash",)
    assert image.file == tmp_path / f"config.{form}"


@pytest.mark.parametrize("form", TEXTS)
def test_every_element_knows_its_line(tmp_path: Path, form: str) -> None:
    lines = TEXTS[form].splitlines()
    root = _read(tmp_path, form).tree.getroot()
    expected = {
        "author": 'A"' if form != "yaml" else "author: A",
        "version": "1.10",
        "packages": {"yaml": "'@type': bootstrap", "toml": "[[image.packages]]", "json": "{"}[form],
    }
    for name, word in expected.items():
        element = next(root.iter(name))
        assert word in lines[_line(element)], name
    *_others, bash = root.iter("package")
    assert bash.get("name") == "bash"
    assert "package" in lines[_line(bash)]


def _line(element: etree._Element) -> int:
    """The line of an element, from 0."""
    found = location(element).line
    assert found is not None
    return found - 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "write",
    [to_yaml, lambda tree: json.dumps(to_data(tree), indent=1), to_toml],
    ids=["yaml", "json", "toml"],
)
def test_the_round_trip(
    tmp_path: Path, name: str, write: Callable[[etree._ElementTree], str]
) -> None:
    """These forms have elements of one name together; only the order among them is kept."""
    document = read(DATA / name)
    (tmp_path / "it.kiwi").write_text(write(document.tree))
    assert _grouped(read(tmp_path).tree.getroot()) == _grouped(document.tree.getroot())


def _grouped(element: etree._Element) -> tuple[object, ...]:
    attributes = {str(name): value for name, value in element.attrib.items() if "}base" not in name}
    inner = sorted(element.iterchildren("*"), key=lambda child: str(child.tag))
    return element.tag, attributes, (element.text or "").strip(), [*map(_grouped, inner)]


@pytest.mark.parametrize(
    ("form", "text", "line", "problem"),
    [
        ("yaml", "image:\n  a: [\n", 3, "not valid YAML"),
        ("yaml", "image:\n  @name: x\n", 2, "not valid YAML"),
        ("yaml", "image:\n  a: 1\n  a: 2\n", 3, "the key a is there twice"),
        ("yaml", "image:\n  '@name': [x]\n", 2, "@name takes a text"),
        ("yaml", "- image\n", 1, "a mapping with the key image"),
        ("yaml", "image: &a\n  b: *a\n", 1, "the node contains itself"),
        ("yaml", "image:\n  'a b': 1\n", 2, "'a b' cannot be the name"),
        ("yaml", 'image:\n  a: "\\x01"\n', 2, "control characters"),
        ("yaml", "image: 1\nother: 2\n", 2, "one key at the top"),
        ("yaml", "picture:\n  a: 1\n", 1, "the root element is <picture>, not <image>"),
        ("toml", '[image]\n"@name" = \n', 2, "not valid TOML"),
        ("toml", '[image]\n"@name" = ["x"]\n', 2, "@name takes a text"),
        ("toml", '[image]\n\n"a=b" = 1\n', 3, "equals sign in the name"),
        ("toml", '[image]\na = [["x"]]\n', 2, "a list in a list"),
        ("yaml", "image:\n  a: 1\n  b: x\x00y\n", 3, "the character U+0000 is not allowed"),
        ("yaml", "image:\n  'n:a': 1\n", 2, "cannot be an element of a description"),
        ("toml", "[image]\na = 'b'\nc = [1,\n\n", 3, "not valid TOML"),
        ("toml", "[image]\na = 'b'\n[imag.c]\nd = 1\n", 3, "one key at the top"),
        ("json", '{"image": {\n"a": 1\n"b": 2}}', 3, "not valid JSON"),
        ("json", '{"image": {\n"version": "\\ud800"\n}}', 2, "control characters"),
    ],
)
def test_what_is_wrong_has_a_line(
    tmp_path: Path, form: str, text: str, line: int, problem: str
) -> None:
    with pytest.raises(DescriptionError) as caught:
        _read(tmp_path, form, text)
    assert problem in str(caught.value)
    assert caught.value.location is not None
    assert caught.value.location.file == tmp_path / f"config.{form}"
    assert caught.value.location.line == line


def test_errors_of_the_schema_have_lines(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError) as caught:
        _read(tmp_path, "yaml", YAML.replace("'@image': tbz", "'@imag': tbz"))
    line = 1 + next(
        n for n, text in enumerate(YAML.splitlines()) if "type:" in text and "@" not in text
    )
    assert f"config.yaml:{line}: <type>" in str(caught.value)
    assert "did you mean image?" in str(caught.value)


def test_a_description_includes_one_in_another_form(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text(
        "image:\n  packages:\n    '@type': delete\n    package: {'@name': vim}\n"
    )
    text = YAML.replace(
        "  description:", "  include: {'@from': 'this://more.yaml'}\n  description:"
    )
    assert select(_read(tmp_path, "yaml", text)).packages.delete == ("vim",)


@pytest.mark.parametrize("text", ["some text\n", "%PDF-1.7\n", "key\n"])
def test_what_is_no_description(tmp_path: Path, text: str) -> None:
    (tmp_path / "it.kiwi").write_text(text)
    with pytest.raises(DescriptionError, match="neither XML nor YAML, TOML or JSON"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("form", "text"),
    [("json", '{"image":' * 5000 + "1" + "}" * 5000), ("yaml", "image: " + "{a: " * 3000)],
)
def test_deep_nesting_is_an_error(tmp_path: Path, form: str, text: str) -> None:
    with pytest.raises(DescriptionError, match=r"nested too deeply|not valid YAML"):
        _read(tmp_path, form, text)


def test_many_aliases_are_bounded(tmp_path: Path) -> None:
    bomb = "image:\n  a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" + "".join(
        "  b{}: &b{} {{ x: [{}] }}\n".format(n, n, ", ".join([f"*b{n - 1}" if n else "1"] * 9))
        for n in range(12)
    )
    with pytest.raises(DescriptionError, match="too large"):
        _read(tmp_path, "yaml", bomb)


@pytest.mark.parametrize("start", ["---\n", "%YAML 1.2\n---\n", "  # a comment\n", "--- # x\n\n"])
def test_what_may_come_before_yaml(tmp_path: Path, start: str) -> None:
    (tmp_path / "it.kiwi").write_text(start + YAML)
    assert select(read(tmp_path)).name == "small"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"image": {', '"image"\n: {'),
        ('a\\ttab"', 'a \u0085 b \u2028 c"'),
        ('a\\ttab"', 'a \x7f b"'),
        ('"1.10"', "1.10"),
    ],
)
def test_any_valid_json(tmp_path: Path, old: str, new: str) -> None:
    text = JSON.replace(old, new)
    assert text != JSON
    expected = json.loads(text)["image"]["description"]["specification"]
    root = _read(tmp_path, "json", text).tree.getroot()
    assert root.findtext("description/specification") == expected
    assert root.findtext("preferences/version") == "1.10"


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c"])
def test_characters_that_end_no_line_in_toml(tmp_path: Path, character: str) -> None:
    if character in "\x0b\x0c":
        text = TOML  # TOML refuses them
    else:
        text = TOML.replace("# An image", f"# An{character}image").replace(
            "Two\n", f"Two{character}\n"
        )
    lines = text.split("\n")
    root = _read(tmp_path, "toml", text).tree.getroot()
    assert "image.packages" in lines[_line(next(root.iter("packages")))]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_statements_of_toml(tmp_path: Path, end: str) -> None:
    packages = "".join(f'  {{\'@name\' = "p{n}"}}, # ] [ {{ "\n' for n in range(3000))
    text = TOML.replace("package = [\n", f"package = [\n{packages}")
    text += '[image.strip]\n"@type" = """delete"""\nfile = {"@name" = \'\'\'/a\'\'\'}\n'
    text += "[[image.users]]\nuser = [{'@name' = 'u', '@id' = 1_000, '@password' = 'a]\\'}]\n"
    (tmp_path / "config.toml").write_text(text.replace("\n", end), newline="")
    image = select(read(tmp_path))
    assert len(image.packages.bootstrap.packages) == 3002
    assert image.strip.delete == ("/a",)
    assert (image.users[0].id, image.users[0].password) == (1000, "a]\\")


def test_numbers_in_tables_of_toml_stay_as_written(tmp_path: Path) -> None:
    file = tmp_path / "it.toml"
    file.write_text("[image]\ndescription = { specification = 1.10, n = [2.0] }\n")
    element = read_xml(file).getroot().find("description")
    assert element is not None
    assert [child.text for child in element] == ["1.10", "2.0"]
