"""Parameters of a recipe, after papermill's convention.

The cell tagged ``parameters`` assigns the defaults. Each assignment in it defines a parameter. Its
type is the annotation, or that in a ``# type: …`` comment, or else the type of the default. The
comment after it is its help::

    size: int = 4          # size of the disk in GiB
    profiles: list[str] = []
    name = "server"        # type: str name of the host

Given values are assigned in a cell tagged ``injected-parameters``, which follows that cell. See
https://papermill.readthedocs.io/en/latest/usage-parameterize.html.
"""

from __future__ import annotations

import ast
import codecs
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

from kiwinb.errors import NotebookError, ParameterError
from kiwinb.headless.parameter_types import (
    Misfit,
    fit,
    from_text,
    plain,
    type_named,
    type_of,
    type_of_default,
)
from kiwinb.headless.yaml12 import Scalar, load

PARAMETERS = "parameters"
INJECTED = "injected-parameters"
_UNREADABLE = (SyntaxError, ValueError, tokenize.TokenError, RecursionError, MemoryError)
"""What parsing a source raises: ValueError for zero bytes, the last two for deep nesting."""

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Parameter:
    """A parameter of a recipe.

    Attributes:
        name: Name of the parameter.
        type_name: Its type as written; ``""`` if unknown.
        default: Source text of its default.
        help: Comment after the assignment.
        type: Type that values must have; ``Any`` if unknown.
    """

    name: str
    type_name: str
    default: str
    help: str
    type: Any


@dataclass(frozen=True)
class Given:
    """A value from a command line: text to be read according to the type of the parameter."""

    text: str


def recipe_parameters(notebook: nbformat.NotebookNode, recipe: Path) -> tuple[Parameter, ...]:
    """Return the parameters of a notebook, in order.

    There are none if no code cell is tagged ``parameters``; the tag means nothing on other cells.

    Raises:
        NotebookError: The cell is not plain Python.
    """
    place = find_tagged(notebook, PARAMETERS)
    if place is None:
        return ()
    source = notebook.cells[place].source
    try:
        found = {parameter.name: parameter for parameter in _parse(source)}
    except _UNREADABLE as error:
        raise NotebookError(
            f"{recipe}: the cell tagged '{PARAMETERS}' cannot be read: {error}",
            remedy="It should have plain Python assignments, without magics.",
        ) from None
    return tuple(found.values())


def resolve(
    parameters: Sequence[Parameter], given: Mapping[str, Any], recipe: Path
) -> dict[str, Any]:
    """Check given values against the parameters of a recipe; return the values to inject.

    Args:
        parameters: The parameters of the recipe.
        given: Values, by name; text from a command line is a :class:`Given`.
        recipe: The notebook, for messages.

    Raises:
        ParameterError: There is no such parameter, or a value has the wrong type.
    """
    known = {parameter.name: parameter for parameter in parameters}
    if given and not known:
        raise ParameterError(
            f"{recipe}: it takes no parameters",
            remedy=f"Tag the code cell that assigns the defaults with '{PARAMETERS}'.",
        )
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ParameterError(
            f"{recipe}: no such parameter: {', '.join(unknown)}",
            remedy=f"It has: {', '.join(known)}.",
        )
    return {name: _value(known[name], item, recipe) for name, item in given.items()}


def read_parameter_file(file: Path) -> dict[str, Any]:
    """Read values from a file in YAML 1.2, and so also in JSON, with one mapping.

    Args:
        file: The file, in UTF-8 or, with a byte order mark, UTF-16.

    Returns:
        Data for :func:`resolve`, by name.

    Raises:
        ParameterError: The file cannot be read, or is not a mapping of names to values.
    """
    try:
        data = file.read_bytes()
        text = data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(
            f"the parameters in {file} cannot be read: {error}", remedy="Name a YAML file."
        ) from None
    return parse_yaml(text, str(file))


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """Read values from YAML 1.2 text with one mapping.

    Args:
        text: The text.
        where: Where it comes from, for messages.

    Returns:
        Data for :func:`resolve`, by name.

    Raises:
        ParameterError: The text is not a mapping of names to values.
    """
    try:
        data = load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ParameterError(
            f"the parameters in {where} are not valid YAML: {reason}",
            remedy="Write them as NAME: VALUE.",
        ) from None
    if isinstance(data, Scalar) and data.value is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(plain(name), str) for name in data):
        raise ParameterError(
            f"the parameters in {where} are not a mapping of names to values",
            remedy="Write them as NAME: VALUE, one on each line.",
        )
    return {plain(name): value for name, value in data.items()}


def inject(notebook: nbformat.NotebookNode, values: Mapping[str, Any]) -> None:
    """Add a cell with values after that with the defaults, replacing a former one."""
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
    """Return the index of the first code cell with a tag; ``None`` if there is none."""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and tag in cell.metadata.get("tags", []):
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
    """Return the comments in a source, by line."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: token.string.lstrip("#").strip()
        for token in tokens
        if token.type == tokenize.COMMENT
    }


def _split_comment(comment: str) -> tuple[str, str]:
    """Split a comment ``type: TYPE HELP`` into type and help; the type may be missing."""
    match = re.match(r"type:\s*(?P<type>[\w.]+(?:\[[^#]*\])?)\s*[-:,#]?\s*(?P<help>.*)", comment)
    return (match["type"], match["help"]) if match else ("", comment)


# --- values ---


def _value(parameter: Parameter, given: Any, recipe: Path) -> Any:
    try:
        if isinstance(given, Given):
            return from_text(given.text, parameter.type)
        return fit(given, parameter.type)
    except Misfit:
        written = given.text if isinstance(given, Given | Scalar) else plain(given)
    wanted = f"the parameter {parameter.name} has to be {parameter.type_name}"
    raise ParameterError(
        f"{recipe}: {wanted}, not {written!r}",
        remedy=f"Its default is {parameter.default}.",
    )


def literal(value: Any) -> str:
    """Return Python source for a value; the same for equal values."""
    if isinstance(value, Path):
        return f"__import__('pathlib').Path({str(value)!r})"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, set) and value:
        return f"{{{', '.join(sorted(map(literal, value)))}}}"
    if isinstance(value, dict):
        pairs = (f"{literal(key)}: {literal(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    return repr(value)
