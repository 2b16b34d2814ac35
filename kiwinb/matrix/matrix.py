"""Read a build matrix of recipes and parameters from a TOML file.

::

    [[recipe]]
    path = "debian-server.ipynb"       # relative to this file
    parameters = { kernel = ["virtual", "metal"] }    # of this recipe alone

    [[recipe]]
    path = "container-base.ipynb"

    [parameters]                       # of all recipes: each value with each other
    release = ["trixie", "bookworm"]

    [[exclude]]                        # leave out the cells that have all of these values
    recipe = "debian-server.ipynb"
    release = "bookworm"
    kernel = "metal"

    [[include]]                        # add values to the cells that have the others, or a cell
    recipe = "container-base.ipynb"
    release = "trixie"
    kind = "docker"

``exclude`` and ``include`` work as in the matrices of GitHub Actions. First, cells are excluded.
Then each ``include`` adds its values to every cell whose original values it does not change. If
there is no such cell, it adds a new cell.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kiwinb.errors import KiwinbError, Location, MatrixError, ParameterError
from kiwinb.paths import normalised

_TABLES = ("recipe", "parameters", "exclude", "include")
_NAME_LENGTH = 80


@dataclass(frozen=True)
class MatrixCell:
    """A cell: a recipe with values of parameters.

    Attributes:
        name: Name that is unique in the matrix and can be used as a file name.
        recipe: The notebook.
        parameters: Values, by name.
    """

    name: str
    recipe: Path
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Matrix:
    """A matrix.

    Attributes:
        file: The file from which it was read.
        cells: The cells, in order.
    """

    file: Path
    cells: tuple[MatrixCell, ...]


@dataclass
class _Draft:
    """A preliminary cell, with its original values and those that ``include`` added."""

    recipe: str
    original: dict[str, Any]
    added: dict[str, Any]


def read_matrix(file: Path) -> Matrix:
    """Read a matrix, and check its parameters against its recipes.

    Raises:
        MatrixError: The file cannot be read, is not a valid matrix, or has no cells.
        NotebookError: A recipe cannot be read, or does not accept a parameter or its value.
    """
    file = normalised(file)
    data = _load(file)
    for table in data:
        if table not in _TABLES:
            raise _error(file, f"a matrix has no table {table}; there are {', '.join(_TABLES)}")
    shared = _axes(file, "parameters", data.get("parameters", {}))
    recipes = _recipes(file, data.get("recipe"))
    drafts = [
        _Draft(recipe, dict(zip(axes, values, strict=True)), {})
        for recipe, own in recipes.items()
        for axes in [{**shared, **own}]
        for values in itertools.product(*axes.values())
    ]
    for entry in _entries(file, "exclude", data, recipes):
        kept = [draft for draft in drafts if not _has(draft, entry)]
        if len(kept) == len(drafts):
            raise _error(file, f"this exclude matches no cell: {_told(entry)}")
        drafts = kept
    original = list(drafts)
    for entry in _entries(file, "include", data, recipes):
        _include(file, entry, original, drafts, list(recipes))
    if not drafts:
        raise _error(file, "the matrix has no cells: all of them are excluded")
    cells = _named(file, drafts)
    _check(cells)
    return Matrix(file, cells)


def _load(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise MatrixError(f"{file} cannot be read: {error}", remedy="Name a TOML file.") from None
    except (ValueError, RecursionError) as error:  # a number, or arrays, that are too large
        place = re.search(r" \(at line (\d+), column (\d+)\)", str(error))
        line, column = map(int, place.groups()) if place else (None, None)
        problem = str(error).removesuffix(place[0] if place else "")
        raise MatrixError(
            f"this is not valid TOML: {problem}", location=Location(file, line, column)
        ) from None


def _recipes(file: Path, given: object) -> dict[str, dict[str, list[Any]]]:
    """Return the parameters that only one recipe has, by the path of the recipe as written."""
    if not isinstance(given, list) or not given:
        raise _error(file, "the matrix names no recipe", remedy='Add [[recipe]] path = "…".')
    recipes: dict[str, dict[str, list[Any]]] = {}
    for item in given:
        path = item.get("path") if isinstance(item, dict) else None
        if not isinstance(path, str) or not path:
            raise _error(file, "a [[recipe]] has no path", remedy='Add path = "…" to it.')
        for key in item:
            if key not in ("path", "parameters"):
                raise _error(file, f"a [[recipe]] has no key {key}; there are path, parameters")
        if path in recipes:
            raise _error(file, f"the recipe {path} is named twice")
        recipes[path] = _axes(file, f"the parameters of {path}", item.get("parameters", {}))
    return recipes


def _axes(file: Path, where: str, table: object) -> dict[str, list[Any]]:
    if not isinstance(table, dict):
        raise _error(file, f"{where} has to be a table of lists of values")
    for name, values in table.items():
        if not isinstance(values, list):
            raise _error(
                file,
                f"{where}: {name} has to be a list of values",
                remedy=f"Write {name} = [{json.dumps(values, default=str)}].",
            )
        if not values:
            raise _error(file, f"{where}: {name} has no values")
        if name == "recipe":
            raise _error(file, f"{where}: no parameter can be named recipe here")
    return table


def _entries(
    file: Path, table: str, data: Mapping[str, Any], recipes: Iterable[str]
) -> list[dict[str, Any]]:
    entries = data.get(table, [])
    if not isinstance(entries, list) or not all(isinstance(item, dict) for item in entries):
        raise _error(file, f"{table} has to be an array of tables: [[{table}]]")
    for entry in entries:
        if not entry:
            raise _error(file, f"a [[{table}]] is empty")
        if "recipe" in entry and entry["recipe"] not in recipes:
            raise _error(
                file,
                f"a [[{table}]] names the recipe {entry['recipe']!r}, which is not in the matrix",
                remedy=f"It has: {', '.join(recipes)}.",
            )
    return entries


def _has(draft: _Draft, entry: Mapping[str, Any]) -> bool:
    values = {"recipe": draft.recipe, **draft.original}
    return all(name in values and values[name] == value for name, value in entry.items())


def _include(
    file: Path,
    entry: Mapping[str, Any],
    original: Iterable[_Draft],
    drafts: list[_Draft],
    recipes: list[str],
) -> None:
    values = {name: value for name, value in entry.items() if name != "recipe"}
    recipe = entry.get("recipe")
    fits = [
        draft
        for draft in original
        if recipe in (None, draft.recipe)
        and all(draft.original.get(name, value) == value for name, value in values.items())
    ]
    for draft in fits:
        draft.added.update(values)
    if fits:
        return
    if recipe is None and len(recipes) > 1:
        raise _error(
            file,
            f"this include matches no cell, and names no recipe for a new one: {_told(entry)}",
            remedy='Add recipe = "…" to it.',
        )
    drafts.append(_Draft(recipe or recipes[0], values, {}))


def _named(file: Path, drafts: Iterable[_Draft]) -> tuple[MatrixCell, ...]:
    cells: dict[str, MatrixCell] = {}
    seen: set[str] = set()
    for draft in drafts:
        parameters = {**draft.original, **draft.added}
        whole = json.dumps([draft.recipe, parameters], sort_keys=True, default=str)
        name = _name(draft.recipe, parameters)
        if whole in seen:
            raise _error(file, f"two cells are the same: {name}")
        seen.add(whole)
        if name in cells or len(name) > _NAME_LENGTH:
            name = f"{name[:_NAME_LENGTH]}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"
        cells[name] = MatrixCell(name, normalised(file.parent / draft.recipe), parameters)
    return tuple(cells.values())


def _name(recipe: str, parameters: Mapping[str, Any]) -> str:
    parts = [Path(recipe).stem, *(f"{name}={_short(value)}" for name, value in parameters.items())]
    return "--".join(re.sub(r"[^\w.+=-]+", "-", part).strip("-") for part in parts)


def _short(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def _check(cells: Iterable[MatrixCell]) -> None:
    from kiwinb.headless.parameters import recipe_parameters, resolve
    from kiwinb.headless.recipe import read_notebook

    known: dict[Path, Any] = {}
    for cell in cells:
        if cell.recipe not in known:
            known[cell.recipe] = recipe_parameters(read_notebook(cell.recipe), cell.recipe)
        try:
            resolve(known[cell.recipe], cell.parameters, cell.recipe)
        except ParameterError as error:
            raise MatrixError(error.problem, remedy=error.remedy) from None


def _told(entry: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {json.dumps(value, default=str)}" for name, value in entry.items())


def _error(file: Path, problem: str, *, remedy: str | None = None) -> KiwinbError:
    return MatrixError(problem, remedy=remedy, location=Location(file))
