"""Parameters of a recipe, after papermill's convention.

The cell tagged ``parameters`` assigns the defaults. Each assignment there is a parameter: its
type is the annotation, or a ``# type: …`` comment, or else the type of the default; the comment
behind it is its help::

    size: int = 4          # size of the disk in GiB
    profiles: list[str] = []
    name = "server"        # type: str name of the host

Given values stand in a cell tagged ``injected-parameters`` behind that one. See
https://papermill.readthedocs.io/en/latest/usage-parameterize.html.
"""

from __future__ import annotations

import ast
import io
import math
import re
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import yaml

from kiwinb.errors import NotebookError
from kiwinb.headless.parameter_types import (
    as_type,
    is_of,
    plain,
    readings,
    type_named,
    type_of,
    type_of_default,
)

PARAMETERS = "parameters"
INJECTED = "injected-parameters"


@dataclass(frozen=True)
class Parameter:
    """A parameter of a recipe.

    Attributes:
        name: Its name.
        type_name: Its type as it is written; ``""`` when nothing tells.
        default: Source text of its default.
        help: The comment behind it.
        type: What its values must be; ``Any`` when that is not known here.
    """

    name: str
    type_name: str
    default: str
    help: str
    type: Any


@dataclass(frozen=True)
class Given:
    """A value that was given on a command line: text, to be read as the parameter's type says."""

    text: str


def recipe_parameters(notebook: nbformat.NotebookNode, recipe: Path) -> tuple[Parameter, ...]:
    """The parameters of a notebook, in order; none when no cell is tagged ``parameters``.

    Raises:
        NotebookError: That cell is not plain Python.
    """
    place = find_tagged(notebook, PARAMETERS)
    if place is None:
        return ()
    source = notebook.cells[place].source
    try:
        found = {parameter.name: parameter for parameter in _parse(source)}
    except (SyntaxError, tokenize.TokenError) as error:
        raise NotebookError(
            f"{recipe}: the cell tagged '{PARAMETERS}' cannot be read: {error}",
            remedy="It is to hold plain Python assignments, without magics.",
        ) from None
    return tuple(found.values())


def resolve(
    parameters: Sequence[Parameter], given: Mapping[str, Any], recipe: Path
) -> dict[str, Any]:
    """The values to inject, checked against the parameters of a recipe.

    Args:
        parameters: Those of the recipe.
        given: Values by name; text of a command line is in a :class:`Given`.
        recipe: The notebook, for messages.

    Raises:
        NotebookError: There is no such parameter, or a value is of the wrong type.
    """
    known = {parameter.name: parameter for parameter in parameters}
    if given and not known:
        raise NotebookError(
            f"{recipe}: it takes no parameters",
            remedy=f"Tag the cell that assigns the defaults with '{PARAMETERS}'.",
        )
    unknown = [name for name in given if name not in known]
    if unknown:
        raise NotebookError(
            f"{recipe}: no such parameter: {', '.join(unknown)}",
            remedy=f"It has: {', '.join(known)}.",
        )
    return {name: _value(known[name], item, recipe) for name, item in given.items()}


def read_parameter_file(file: Path) -> dict[str, Any]:
    """Values in a YAML file, one mapping.

    Raises:
        NotebookError: It cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotebookError(
            f"the parameters in {file} cannot be read: {error}", remedy="Name a YAML file."
        ) from None
    return parse_yaml(text, str(file))


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """Values in YAML text, one mapping.

    Raises:
        NotebookError: It is no mapping of names.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise NotebookError(
            f"the parameters in {where} are no valid YAML: {reason}",
            remedy="Write them as NAME: VALUE.",
        ) from None
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(name, str) for name in data):
        raise NotebookError(
            f"the parameters in {where} are no mapping of names to values",
            remedy="Write them as NAME: VALUE, one a line.",
        )
    return {name: plain(value) for name, value in data.items()}


def inject(notebook: nbformat.NotebookNode, values: Mapping[str, Any]) -> None:
    """Put values into the cell behind the one with the defaults, in place of what is there."""
    place = find_tagged(notebook, PARAMETERS)
    if place is None or not values:
        return
    lines = ["# Parameters", *(f"{name} = {literal(value)}" for name, value in values.items())]
    cell = nbformat.v4.new_code_cell("\n".join(lines), metadata={"tags": [INJECTED]})
    cells = notebook.cells
    if find_tagged(notebook, INJECTED) == place + 1:
        cells[place + 1] = cell
    else:
        cells.insert(place + 1, cell)


def find_tagged(notebook: nbformat.NotebookNode, tag: str) -> int | None:
    """Position of the first cell with a tag."""
    for index, cell in enumerate(notebook.cells):
        if tag in cell.metadata.get("tags", []):
            return index
    return None


# --- reading the cell ---


def _parse(source: str) -> Iterator[Parameter]:
    comments = _comments(source)
    for node in ast.parse(source).body:
        annotation: ast.expr | None = None
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value, annotation = [node.target], node.value, node.annotation
        else:
            continue
        comment = comments.get(node.end_lineno or node.lineno, "")
        written, help_text = _split_comment(comment)
        default = ast.get_source_segment(source, value) or ""
        type_name, type_ = "", Any
        if annotation is not None:
            type_name, type_ = ast.unparse(annotation), type_of(annotation)
        elif written:
            type_name, type_ = written, type_named(written)
        else:
            type_ = type_of_default(value)
            type_name = "" if type_ is Any else type_.__name__
        for target in targets:
            if isinstance(target, ast.Name):
                yield Parameter(target.id, type_name, default, help_text, type_)


def _comments(source: str) -> dict[int, str]:
    """The comment on each line that has one."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: token.string.lstrip("#").strip()
        for token in tokens
        if token.type == tokenize.COMMENT
    }


def _split_comment(comment: str) -> tuple[str, str]:
    """The type that a comment ``type: TYPE HELP`` names, and its help."""
    match = re.match(r"type:\s*(?P<type>[\w.]+(?:\[[^#]*\])?)\s*[-:,#]?\s*(?P<help>.*)", comment)
    return (match["type"], match["help"]) if match else ("", comment)


# --- values ---


def _value(parameter: Parameter, given: Any, recipe: Path) -> Any:
    value = given.text if isinstance(given, Given) else given
    if isinstance(given, Given):
        for candidate in readings(parameter.type, given.text):
            if is_of(candidate, parameter.type):
                return as_type(candidate, parameter.type)
    elif is_of(value, parameter.type):
        return as_type(value, parameter.type)
    raise NotebookError(
        f"{recipe}: the parameter {parameter.name} is to be {parameter.type_name}, not {value!r}",
        remedy=f"Its default is {parameter.default}.",
    )


def literal(value: Any) -> str:
    """Python source of a value."""
    if isinstance(value, Path):
        return f"__import__('pathlib').Path({str(value)!r})"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    return repr(value)
