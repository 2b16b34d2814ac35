"""Parameters are YAML 1.2 wherever they are written, and mean what their types say."""

from __future__ import annotations

import codecs
import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiwinb.errors import NotebookError
from kiwinb.headless.parameters import (
    Given,
    literal,
    parse_yaml,
    read_parameter_file,
    recipe_parameters,
    resolve,
)

RECIPE = Path("recipe.ipynb")
WRONG = object()
"""Stands for the error that a value of the wrong type gives."""


def _resolved(annotation: str, given: Any) -> Any:
    """The value of the parameter ``p`` of this type, or :data:`WRONG`."""
    source = f"p: {annotation} = x" if annotation else "p = x"
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]})
    parameters = recipe_parameters(nbformat.v4.new_notebook(cells=[cell]), RECIPE)
    try:
        return resolve(parameters, {"p": given}, RECIPE)["p"]
    except NotebookError as error:
        assert "the parameter p has to be" in str(error)
        return WRONG


def _same(found: object, expected: object) -> bool:
    return repr(found) == repr(expected)  # tells True from 1, 1 from 1.0, and knows nan


def _ways(annotation: str, text: str) -> Iterator[tuple[str, Any]]:
    """What the parameter becomes in every way to give a plain scalar."""
    of = annotation or "Any"
    lists, mappings = f"list[{of}]", f"dict[str, {of}]"
    yield "-p", _resolved(annotation, Given(text))
    yield "-y", _resolved(annotation, parse_yaml(f"p: {text}", "-y")["p"])
    yield "-y, in brackets", _resolved(annotation, parse_yaml(f"{{p: {text}}}", "-y")["p"])
    for way, whole, kind, inner in (
        ("list", f"[{text}]", lists, 0),
        ("second item", f"[{text}, {text}]", lists, 1),
        ("mapping", f"{{k: {text}}}", mappings, "k"),
    ):
        for how, value in (
            ("-p", Given(whole)),
            ("-y", parse_yaml(f"p: {whole}", "-y")["p"]),
        ):
            found = _resolved(kind, value)
            yield f"{how} {way}", found if found is WRONG else found[inner]
    found = _resolved(lists, parse_yaml(f"p:\n- {text}\n", "-f")["p"])
    yield "-f list", found if found is WRONG else found[0]


digits = st.text("0123456789", min_size=1, max_size=12)
signs = st.sampled_from(["", "-", "+"])


@st.composite
def _integers(draw: st.DrawFn) -> tuple[str, Any]:
    """Notations of integers in the core schema; a leading zero does not make them octal."""
    form = draw(st.sampled_from("dox"))
    if form == "d":
        sign, text = draw(signs), draw(digits)
        value = 0
        for digit in text:
            value = value * 10 + "0123456789".index(digit)
        return sign + text, -value if sign == "-" else value
    number = draw(st.integers(0, 10**9))
    return (f"0o{number:o}" if form == "o" else f"0x{number:x}"), number


@st.composite
def _floats(draw: st.DrawFn) -> tuple[str, Any]:
    if draw(st.booleans()):
        sign, word = draw(signs), draw(st.sampled_from([".inf", ".Inf", ".INF"]))
        return sign + word, float("-inf") if sign == "-" else float("inf")
    sign, whole = draw(signs), draw(digits)
    after = draw(st.one_of(st.just(""), digits))
    form = draw(st.sampled_from(["{0}.{1}", "{0}.{1}e{2}", "{0}e{2}", ".{0}", "{0}E{2}"]))
    power = draw(st.integers(-20, 20))
    text = sign + form.format(whole, after, power)
    return text, float(text)


def _two(number: int) -> str:
    return f"{number:02}"


sixties = st.integers(0, 59)
WORDS_OF_1_1 = [
    word
    for stem in ("yes", "no", "on", "off", "y", "n")
    for word in (stem, stem.upper(), stem.capitalize())
]
strings = st.one_of(
    st.sampled_from([*WORDS_OF_1_1, "tRUE", "nULL", "=", ".iNF", "nan", "inf", "0x", "0o8", "1e"]),
    st.builds("{}{}:{}".format, signs, digits, sixties.map(_two)),  # sixties
    st.builds("{}:{}:{}".format, digits, sixties.map(_two), sixties.map(_two)),
    st.builds("{}:{}.{}".format, digits, sixties.map(_two), digits),
    st.dates().map(str),
    st.datetimes().map(lambda moment: moment.isoformat("T")),
    st.datetimes().map(lambda moment: f"{moment.isoformat('t')}Z"),
    st.builds("{}_{}".format, digits, digits),
    st.builds("0b{:b}".format, st.integers(0, 99)),
    st.builds("-0x{:x}".format, st.integers(0, 99)),
    st.builds("{}.{}.{}".format, digits, digits, digits),
    st.builds("{}{}".format, digits, st.sampled_from(["G", "_", "%", "j", "L"])),
    st.builds("http://x:{}/?a={}".format, digits, digits),
    st.builds("::{}".format, digits),
)
RUN = settings(max_examples=60, deadline=None, derandomize=True)


def _check(annotation: str, text: str, expected: object) -> None:
    for way, found in _ways(annotation, text):
        assert _same(found, expected), (way, annotation, text, found, expected)


@RUN
@given(_integers())
def test_integers(notation: tuple[str, int]) -> None:
    text, value = notation
    for annotation in ("int", "Any", "int | str", "str | int", "int | None", "float | int"):
        _check(annotation, text, value)
    for annotation in ("float", "float | None", "float | str"):
        expected = text if annotation == "float | str" else float(value)
        if annotation != "float | str":
            _check(annotation, text, expected)
    _check("str", text, text)
    _check("str | None", text, text)
    _check("Path", text, Path(text))
    _check("bool", text, {"0": False, "1": True}.get(text, WRONG))


@RUN
@given(_floats())
def test_floats(notation: tuple[str, float]) -> None:
    text, value = notation
    for annotation in ("float", "Any", "float | str", "float | int", "float | None"):
        _check(annotation, text, value)
    for annotation in ("str", "str | int", "str | None"):
        _check(annotation, text, text)
    _check("Path", text, Path(text))
    _check("int", text, WRONG)
    _check("bool", text, WRONG)


@RUN
@given(strings)
def test_what_only_yaml_1_1_reads_stays_text(text: str) -> None:
    for annotation in ("str", "Any", "str | None", "int | str", "str | float", "str | bool"):
        if annotation in ("int | str", "str | float") and text.startswith("0b"):
            continue  # a Python literal on the command line
        _check(annotation, text, text)
    _check("Path", text, Path(text))
    for annotation in ("float", "int"):
        for way, found in _ways(annotation, text):
            if way.startswith("-y"):
                assert found is WRONG, (way, annotation, text, found)
    words = {"yes": True, "on": True, "no": False, "off": False, "true": True}
    _check("bool", text, words.get(text.lower(), WRONG))


@pytest.mark.parametrize("text", ["true", "True", "TRUE", "false", "False", "FALSE"])
def test_truth_values(text: str) -> None:
    value = text.lower() == "true"
    for annotation in ("bool", "Any", "bool | None", "bool | str", "int | bool"):
        _check(annotation, text, value)
    for annotation in ("str", "str | None", "int | str"):
        _check(annotation, text, text)
    _check("int", text, WRONG)
    _check("float", text, WRONG)


@pytest.mark.parametrize("text", ["null", "Null", "NULL", "~"])
def test_null(text: str) -> None:
    for annotation in ("Any", "int | None", "list[int] | None"):
        _check(annotation, text, None)
    for annotation in ("int", "float", "bool"):
        _check(annotation, text, WRONG)
    for way, found in _ways("str", text):  # no name by accident in a file
        assert _same(found, text if way == "-p" else WRONG), way


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        ("str", "None", "None"),
        ("str | None", "None", None),
        ("str | None", "null", None),
        ("Any", "None", None),
        ("Any", "", ""),
        ("str", "", ""),
        ("Any", "a # b", "a # b"),
        ("Any", "8 # b", "8 # b"),
        ("Any", "x: y", "x: y"),
        ("Any", "- a", "- a"),
        ("Any", "{{ x }}", "{{ x }}"),
        ("Any", "'a'", "a"),
        ("int | str", "'5'", "5"),
        ("int | str", "a # b", "a # b"),
        ("Path", "a # b", Path("a # b")),
        ("Path", "'a'", Path("'a'")),
        ("list", "[010, 1:30, yes, None]", [10, "1:30", "yes", None]),
        ("dict", "{a: None, b: [None]}", {"a": None, "b": [None]}),
        ("dict", "{'a': True}", {"a": True}),
        ("list[str]", "[None]", ["None"]),
        ("list[str | None]", "[None, a]", [None, "a"]),
        ("list[float]", "[1, 2.5]", [1.0, 2.5]),
        ("list[Path]", "[a, 010]", [Path("a"), Path("010")]),
        ("tuple[int, str]", "[010, 010]", (10, "010")),
        ("tuple[int, str]", "(1, 'a')", (1, "a")),
        ("tuple[int, str]", "[1]", WRONG),
        ("set[int]", "{1, 2}", {1, 2}),
        ("set[list]", "[[1]]", WRONG),
        ("dict[int, str]", "{010: 010}", {10: "010"}),
        ("Literal['on', 'off', 1]", "on", "on"),
        ("Literal['on', 'off', 1]", "1", 1),
        ("list[Literal['on', '010']]", "[on, 010]", ["on", "010"]),
        ("list[str] | None", "[a]", ["a"]),
        ("list[str] | list[int]", "[1]", [1]),
        ("int", "1_000", 1000),
        ("int", "0b11", 3),
        ("int", "9" * 5000, WRONG),
        ("float", "9" * 400, WRONG),
        ("dict", "{[]: 1}", WRONG),
        ("list", "[" * 500, WRONG),
        ("list[str]", r'["\d"]', ["\\d"]),
    ],
)
def test_text_on_the_command_line(annotation: str, text: str, value: object) -> None:
    found = _resolved(annotation, Given(text))
    assert _same(found, value), found


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        ("str", "'010'", "010"),
        ("int", "'10'", WRONG),
        ("bool", "'yes'", WRONG),
        ("bool", "yes", True),
        ("str", "!!str 010", "010"),
        ("str", "! 010", "010"),
        ("str", "!!int 010", WRONG),
        ("int", "!!int 010", 10),
        ("float", "!!float 1", 1.0),
        ("str", "", WRONG),
        ("str | None", "", None),
        ("int", "1_000", WRONG),
        ("str", "|\n  010\n", "010\n"),
        ("list[str]", "[<<, =]", ["<<", "="]),
        ("dict[str, str]", "{<<: {a: 010, b: 1}, b: 2}", {"a": "010", "b": "2"}),
        ("dict[str, int]", "{<<: [{a: 1}, {a: 2, b: 3}]}", {"a": 1, "b": 3}),
        ("str", '"\\ud83d\\ude00"', "😀"),
    ],
)
def test_text_in_a_file(annotation: str, text: str, value: object) -> None:
    found = _resolved(annotation, parse_yaml(f"p: {text}", "p.yaml")["p"])
    assert _same(found, value), found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{a: 1, a: 2}", "the key a occurs twice"),
        ("{a: 1, 'a': 2}", "the key a occurs twice"),
        ("a: {1: x, 01: y}", "the key 01 occurs twice"),
        ("a: &x [*x]", "refers to itself"),
        ("a: !!set {b}", "does not have the tag"),
        ("a: !!int x", "not of the type that its tag"),
        ("a: {[b]: c}", "a list or mapping cannot be a key"),
        ('a: "\\ud800"', "a surrogate stands alone"),
        ("a: " + "[" * 1000, "nested too deeply"),
        ("a: 1\n---\nb: 1", "single document"),
    ],
)
def test_what_yaml_1_2_forbids_is_refused(text: str, problem: str) -> None:
    with pytest.raises(NotebookError, match=problem):
        parse_yaml(text, "p.yaml")


texts = st.text(  # PyYAML refuses control characters, and takes separators of lines for breaks
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Cn"], exclude_characters="\ufeff")
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)


@RUN
@given(json_values, st.sampled_from([None, 2, "\t"]), st.booleans())
def test_json_is_yaml(value: Any, indent: int | str | None, ascii_only: bool) -> None:
    text = json.dumps({"p": value}, indent=indent, ensure_ascii=ascii_only)
    assert _same(_resolved("Any", parse_yaml(text, "p.json")["p"]), value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_are_in_every_encoding_that_windows_writes(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "p.yaml").write_bytes("p: ä 010\n".encode(encoding))
    assert _resolved("str", read_parameter_file(tmp_path / "p.yaml")["p"]) == "ä 010"


def test_dates_of_toml_are_text() -> None:
    assert _resolved("list[str]", [datetime.date(2024, 1, 1)]) == ["2024-01-01"]
    assert _resolved("", datetime.date(2024, 1, 1)) == "2024-01-01"


def test_an_encoding_that_is_neither_is_told(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_bytes(codecs.BOM_UTF16_LE + b"p")
    with pytest.raises(NotebookError, match="cannot be read"):
        read_parameter_file(tmp_path / "p.yaml")


def test_the_error_shows_the_value_as_written() -> None:
    with pytest.raises(NotebookError, match="has to be int, not '1:30'"):
        resolve_int("1:30")


def resolve_int(text: str) -> None:
    cell = nbformat.v4.new_code_cell("p: int = 1", metadata={"tags": ["parameters"]})
    parameters = recipe_parameters(nbformat.v4.new_notebook(cells=[cell]), RECIPE)
    resolve(parameters, parse_yaml(f"p: {text}", "-y"), RECIPE)


@pytest.mark.parametrize(
    "value",
    [
        [Path("a"), {"b": float("inf")}],
        (float("-inf"),),
        (1, Path("x")),
        (),
        {"b", "a"},
        set(),
        {1: {Path("k")}},
        {},
    ],
)
def test_injected_source_makes_the_same_value(value: object) -> None:
    assert _same_value(eval(literal(value)), value)
    assert literal({"b", "a", "c"}) == "{'a', 'b', 'c'}"


def _same_value(found: object, expected: object) -> bool:
    return type(found) is type(expected) and found == expected
