"""Run a recipe notebook headless: the documented build is the build that CI executes.

Parameters follow papermill's convention: a cell tagged ``parameters`` holds the
defaults, and a cell tagged ``injected-parameters`` behind it the given values.
"""

from __future__ import annotations

import ast
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from kiwinb.errors import NotebookError
from kiwinb.notebook.artefacts import RECORD_VARIABLE

PARAMETERS = "parameters"
INJECTED = "injected-parameters"


@dataclass(frozen=True)
class CellEvent:
    """A code cell began or ended.

    Attributes:
        index: Position among all cells of the executed notebook, from 0.
        state: ``running``, ``done`` or ``failed``.
        title: The first line of the cell, or the heading that stands before it.
    """

    index: int
    state: Literal["running", "done", "failed"]
    title: str


@dataclass(frozen=True)
class NotebookRun:
    """A recipe that ran to its end.

    Attributes:
        output: The executed notebook.
        images: Paths of the image files that its cells delivered, in order.
    """

    output: Path
    images: tuple[Path, ...]


def run_notebook(
    recipe: Path,
    *,
    output: Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    on_cell: Callable[[CellEvent], None] = lambda event: None,
    timeout: float | None = None,
) -> NotebookRun:
    """Execute a notebook from top to bottom, saving the output notebook after each cell.

    Args:
        recipe: The notebook; its kernel runs in its directory.
        output: Where the executed notebook is written; ``out/<name>.ipynb`` in the working
            directory when not given.
        parameters: Values that replace those of the cell tagged ``parameters``.
        on_cell: Told when a cell begins and ends.
        timeout: Seconds a single cell may take; ``None`` for no limit.

    Raises:
        NotebookError: The notebook cannot be read, has no such parameter, or a cell failed. The
            output notebook holds everything up to there.
    """
    notebook = _read(recipe)
    if parameters:
        _inject(notebook, parameters, recipe)
    target = output or Path("out") / recipe.name
    target.parent.mkdir(parents=True, exist_ok=True)

    with tempfile.TemporaryDirectory(prefix="kiwinb-run-") as scratch:
        record = Path(scratch) / "images"
        environment = {**os.environ, RECORD_VARIABLE: str(record)}

        def save() -> None:
            draft = target.with_name(f".{target.name}.part")
            nbformat.write(notebook, draft)
            draft.replace(target)

        def started(cell: Any, cell_index: int) -> None:
            on_cell(CellEvent(cell_index, "running", _title(notebook, cell_index)))

        def ended(cell: Any, cell_index: int, execute_reply: Any) -> None:
            save()
            failed = execute_reply["content"].get("status") == "error"
            state: Literal["done", "failed"] = "failed" if failed else "done"
            on_cell(CellEvent(cell_index, state, _title(notebook, cell_index)))

        client = NotebookClient(
            notebook,
            timeout=timeout,
            resources={"metadata": {"path": str(recipe.resolve().parent)}},
            on_cell_execute=started,
            on_cell_executed=ended,
        )
        try:
            client.execute(env=environment)
        except CellExecutionError as error:
            index = _failed_cell(notebook)
            raise NotebookError(
                f"{recipe}: cell {index} ({_title(notebook, index)}) failed: "
                f"{error.ename}: {error.evalue}",
                remedy=f"The output up to there is in {target}; run again to go on from the last "
                "checkpoint.",
            ) from None
        except CellTimeoutError as error:
            raise NotebookError(f"{recipe}: {error}", remedy="Give it more time.") from None
        except DeadKernelError:
            raise NotebookError(
                f"{recipe}: the kernel died", remedy="Run again to go on from the last checkpoint."
            ) from None
        finally:
            save()
        images = (
            [json.loads(line) for line in record.read_text().splitlines()]
            if record.exists()
            else []
        )
    return NotebookRun(target, tuple(Path(line["path"]) for line in images))


def _read(recipe: Path) -> nbformat.NotebookNode:
    try:
        notebook: nbformat.NotebookNode = nbformat.read(recipe, as_version=4)
        return notebook
    except OSError as error:
        raise NotebookError(
            f"{recipe}: {error.strerror}", remedy="Name a notebook that exists."
        ) from None
    except Exception as error:  # nbformat raises several kinds for what is no notebook
        raise NotebookError(
            f"{recipe}: not a notebook: {error}", remedy="Name a Jupyter notebook (.ipynb)."
        ) from None


def _inject(notebook: nbformat.NotebookNode, parameters: Mapping[str, Any], recipe: Path) -> None:
    cells = notebook.cells
    places = [i for i, cell in enumerate(cells) if PARAMETERS in cell.metadata.get("tags", [])]
    if not places:
        raise NotebookError(
            f"{recipe}: no cell is tagged '{PARAMETERS}', so it takes no parameters",
            remedy=f"Tag the cell that assigns the defaults with '{PARAMETERS}'.",
        )
    known = _assigned(cells[places[0]].source)
    unknown = sorted(set(parameters) - known)
    if unknown:
        raise NotebookError(
            f"{recipe}: no such parameter: {', '.join(unknown)}",
            remedy=f"It has: {', '.join(sorted(known)) or 'none'}.",
        )
    source = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": [INJECTED]})
    following = places[0] + 1
    if following < len(cells) and INJECTED in cells[following].metadata.get("tags", []):
        cells[following] = cell
    else:
        cells.insert(following, cell)


def _assigned(source: str) -> set[str]:
    names: set[str] = set()
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        names.update(target.id for target in targets if isinstance(target, ast.Name))
    return names


def _failed_cell(notebook: nbformat.NotebookNode) -> int:
    for index, cell in enumerate(notebook.cells):
        if any(out.output_type == "error" for out in cell.get("outputs", [])):
            return index
    return 0


def _title(notebook: nbformat.NotebookNode, index: int) -> str:
    lines = notebook.cells[index].source.strip().splitlines()
    return lines[0] if lines else f"cell {index}"
