"""Parameters of recipes, after papermill's convention."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from kiwinb.errors import NotebookError
from kiwinb.headless.parameters import (
    INJECTED,
    Given,
    inject,
    parse_yaml,
    read_parameter_file,
    recipe_parameters,
    resolve,
)

SOURCE = '''\
"""The parameters."""
size: int = 4  # size of the disk in GiB
profiles: list[str] = []
name = "server"  # type: str name of the host
ratio: float | None = None  # how much of it
firmware: Literal["bios", "uefi"] = "uefi"
target: Path = Path("out")  # where to
both = [
    "a",
]  # two lines
quick = False
anything = object()
annotated: int
'''
RECIPE = Path("recipe.ipynb")


def _notebook(source: str = SOURCE) -> nbformat.NotebookNode:
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]})
    other = nbformat.v4.new_code_cell("size * 2")
    notebook: nbformat.NotebookNode = nbformat.v4.new_notebook(cells=[cell, other])
    return notebook


def _resolve(**given: Any) -> dict[str, Any]:
    return resolve(recipe_parameters(_notebook(), RECIPE), given, RECIPE)


def test_name_type_default_and_help_are_read() -> None:
    found = [
        (item.name, item.type_name, item.default, item.help)
        for item in recipe_parameters(_notebook(), RECIPE)
    ]
    assert found == [
        ("size", "int", "4", "size of the disk in GiB"),
        ("profiles", "list[str]", "[]", ""),
        ("name", "str", '"server"', "name of the host"),
        ("ratio", "float | None", "None", "how much of it"),
        ("firmware", "Literal['bios', 'uefi']", '"uefi"', ""),
        ("target", "Path", 'Path("out")', "where to"),
        ("both", "list", '[\n    "a",\n]', "two lines"),
        ("quick", "bool", "False", ""),
        ("anything", "", "object()", ""),
    ]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("size", "8", 8),
        ("profiles", "['a', 'b']", ["a", "b"]),
        ("profiles", "[a, b]", ["a", "b"]),
        ("name", "8", "8"),
        ("name", "true", "true"),
        ("ratio", "1", 1.0),
        ("ratio", "None", None),
        ("firmware", "bios", "bios"),
        ("target", "a b/c", Path("a b/c")),
        ("quick", "yes", True),
        ("quick", "0", False),
        ("anything", "8", 8),
        ("anything", "no", "no"),
        ("anything", "false", False),
    ],
)
def test_text_is_read_as_the_type_says(name: str, text: str, value: object) -> None:
    found = _resolve(**{name: Given(text)})[name]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", Given("4.5")),
        ("size", Given("big")),
        ("size", True),
        ("size", "4"),
        ("profiles", Given("virtual")),
        ("profiles", [1]),
        ("name", 4),
        ("firmware", Given("coreboot")),
        ("quick", Given("maybe")),
        ("quick", 1),
    ],
)
def test_a_value_of_the_wrong_type_is_told(name: str, value: object) -> None:
    with pytest.raises(NotebookError, match=rf"recipe\.ipynb: the parameter {name} has to be"):
        _resolve(**{name: value})


def test_unknown_parameter_names_the_known_ones() -> None:
    with pytest.raises(NotebookError, match=r"no such parameter: colour\n.*size, profiles"):
        _resolve(colour="red")


def test_a_notebook_without_the_cell_takes_none() -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1")])
    assert recipe_parameters(notebook, RECIPE) == ()
    with pytest.raises(NotebookError, match="takes no parameters"):
        resolve((), {"x": 2}, RECIPE)


def test_a_cell_that_is_not_plain_python_is_told() -> None:
    with pytest.raises(NotebookError, match="plain Python"):
        recipe_parameters(_notebook("%matplotlib inline"), RECIPE)


@pytest.mark.parametrize("kind", ["markdown", "raw"])
@pytest.mark.parametrize("text", ["# Parameters of *this* recipe", "size = 1", "Parameters"])
def test_the_tag_means_nothing_on_a_cell_without_code(kind: str, text: str) -> None:
    def make(text: str, metadata: dict[str, Any]) -> nbformat.NotebookNode:
        cell: nbformat.NotebookNode = nbformat.v4.new_markdown_cell(text, metadata=metadata)
        cell.cell_type = kind
        return cell

    notebook = _notebook("size: int = 4")
    notebook.cells.insert(0, make(text, metadata={"tags": ["parameters"]}))
    notebook.cells.insert(2, make(text, metadata={"tags": [INJECTED]}))
    [parameter] = recipe_parameters(notebook, RECIPE)
    assert (parameter.name, parameter.default) == ("size", "4")
    inject(notebook, {"size": 8})
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        (kind, text),
        ("code", "size: int = 4"),
        ("code", "# Parameters\nsize = 8"),
        (kind, text),
        ("code", "size * 2"),
    ]
    del notebook.cells[1]
    assert recipe_parameters(notebook, RECIPE) == ()
    with pytest.raises(NotebookError, match="Tag the code cell"):
        resolve((), {"size": 8}, RECIPE)


def test_injected_values_run_and_replace_older_ones() -> None:
    notebook = _notebook()
    inject(notebook, {"size": 1})
    values = {"size": 2, "target": Path("x'y"), "ratio": float("inf"), "profiles": ["a"]}
    inject(notebook, values)
    assert [cell.metadata.get("tags") for cell in notebook.cells] == [
        ["parameters"],
        [INJECTED],
        None,
    ]
    names: dict[str, object] = {}
    exec(notebook.cells[1].source, names)
    assert {name: names[name] for name in values} == values


def test_yaml_gives_typed_values(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("size: 8\nprofiles: [a]\nname: 2026-01-31\n")
    given = read_parameter_file(file)
    assert _resolve(**given) == {"size": 8, "profiles": ["a"], "name": "2026-01-31"}
    assert parse_yaml("", "-y") == {}


@pytest.mark.parametrize("text", ["a: [", "- a", "1: 2"])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(NotebookError, match="the parameters in -y"):
        parse_yaml(text, "-y")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotebookError, match="cannot be read"):
        read_parameter_file(tmp_path / "none.yaml")
