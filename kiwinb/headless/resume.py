"""Resume a run that did not pass, from its output notebook.

The variables of the former run are lost, because its kernel has ended. So the cells before the
failed one are executed again to restore them. This is fast, because the build steps that they run
have checkpoints. Their outputs from the former run stay in the notebook. All this is correct only
if neither these cells nor the parameters have changed; otherwise, resuming is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat

from kiwinb.errors import NotebookError
from kiwinb.headless.recipe import valid_notebook
from kiwinb.headless.result import Cell, NotebookRun, from_record

RECORD = "kiwinb"
"""Key in the metadata of the output notebook that holds the record of the run."""
FAILURE = "kiwinb-failure"
"""Tag of the cell that describes a failure."""
END = "kiwinb-end"
"""Tag of the cell that says that the run ended before it."""
OUTPUTS = "kiwinb-outputs"
"""Key in the metadata of a notebook that was executed for its readers."""
_MARKERS = (FAILURE, END, "papermill-error-cell-tag")


@dataclass(frozen=True)
class FormerRun:
    """A former run and its output notebook.

    Attributes:
        run: Record of the run.
        notebook: The notebook, without the cells that say how the run ended.
    """

    run: NotebookRun
    notebook: nbformat.NotebookNode

    @property
    def first(self) -> int:
        """Number of the first cell that is not done, or whose artefacts no longer exist.

        If there is no such cell, it is one more than the number of cells. The cells after one that
        ended the run well had nothing to do.
        """
        missing = {item.cell for item in self.run.artefacts if not item.path.exists()}
        for cell in self.run.cells[: self.run.ended]:
            if cell.state not in ("done", "resumed") or cell.number in missing:
                return cell.number
        return len(self.run.cells) + 1

    def is_done_with(self, count: int) -> bool:
        """Whether a recipe with this number of code cells has nothing left to do."""
        if not self.run.passed or self.first <= len(self.run.cells):
            return False
        return self.run.ended is not None or count <= len(self.run.cells)


def read_former(output: Path) -> FormerRun | None:
    """Read the former run in an output notebook; ``None`` if the file does not exist.

    Raises:
        NotebookError: The file is not the output of a run.
    """
    if not output.exists():
        return None
    try:
        notebook = valid_notebook(output)
        former = FormerRun(from_record(notebook.metadata[RECORD]), remove_markers(notebook))
        _check(former)
        return former
    except Exception:  # nbformat raises various exceptions for other files
        raise NotebookError(
            f"{output} is not the output of a run, so nothing can be resumed",
            remedy="Run without --resume.",
        ) from None


def _check(former: FormerRun) -> None:
    """Check that a record is one of its notebook.

    Raises:
        Exception: It is not.
    """
    run = former.run
    states = {"pending", "running", "resumed", "done", "failed"}
    titles = [cell.title + cell.source for cell in run.cells if cell.state in states]
    numbers = [cell.number for cell in run.cells]
    texts = {run.state: run.token + run.started, **run.parameters}
    code = [cell for cell in former.notebook.cells if cell.cell_type == "code"]
    if (
        numbers != list(range(1, len(titles) + 1))
        or not all(isinstance(text, str) for text in (*texts, *texts.values()))
        or (run.ended is not None and run.ended not in numbers)
        or not 1 <= former.first <= len(numbers) + 1
        or len(code) < len(numbers)
    ):
        raise ValueError


def remove_markers(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove from a notebook what an earlier run of kiwinb or papermill says about itself.

    These are the Markdown cells that say how the run ended, the record of the run, and the times of
    cells. Outputs stay.

    Returns:
        The same notebook.
    """
    notebook.cells = [
        cell
        for cell in notebook.cells
        if cell.cell_type != "markdown" or not _has_marker(cell.metadata)
    ]
    for metadata in (notebook.metadata, *(cell.metadata for cell in notebook.cells)):
        for key in (RECORD, OUTPUTS, "papermill", "execution"):
            metadata.pop(key, None)
    return notebook


def _has_marker(metadata: Mapping[str, object]) -> bool:
    tags = metadata.get("tags", [])
    return isinstance(tags, list) and any(tag in tags for tag in _MARKERS)


def check_unchanged(
    former: FormerRun, cells: Sequence[Cell], parameters: Mapping[str, str], recipe: Path
) -> None:
    """Check that neither parameters nor finished cells have changed since the former run.

    Args:
        former: The run to resume.
        cells: The present code cells of the recipe.
        parameters: The present values of parameters.
        recipe: The notebook.

    Raises:
        NotebookError: Parameters, or cells before the first one to run, have changed.
    """
    before = former.run.parameters
    changed = [
        f"parameter {name}: {before.get(name, 'not given')} became "
        f"{parameters.get(name, 'not given')}"
        for name in {**before, **parameters}
        if before.get(name) != parameters.get(name)
    ]
    if not changed:
        done = former.run.cells[: former.first - 1][: former.run.ended]
        for index, cell in enumerate(done):
            now = cells[index] if index < len(cells) else None
            if now is None:
                changed.append(f"cell {cell.number} ({cell.title}) is gone")
            elif now.source != cell.source:
                changed.append(f"cell {cell.number} ({cell.title})")
    if changed:
        raise NotebookError(
            f"{recipe}: cannot resume, something changed since that run:"
            + "".join(f"\n  - {item}" for item in changed),
            remedy="Run without --resume; unchanged build steps do not run again.",
        )
