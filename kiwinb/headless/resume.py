"""Go on with a run that did not pass, from its output notebook.

The kernel of that run is gone and its variables with it, and nothing can bring them back in
general. So the cells before the one that failed are executed again for the state they leave,
which is cheap, because every build step that ran has its checkpoint; the outputs of the former
run stay in the notebook. That is sound only when these cells and the parameters are what they
were, so a change in them is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat

from kiwinb.errors import NotebookError
from kiwinb.headless.result import Cell, NotebookRun, from_record

RECORD = "kiwinb"
"""Key in the metadata of the output notebook that holds the record of the run."""
FAILURE = "kiwinb-failure"
"""Tag of the cell that tells of a failure."""


@dataclass(frozen=True)
class FormerRun:
    """A run that an output notebook holds.

    Attributes:
        run: Its record.
        notebook: The notebook, without what tells of its failure.
    """

    run: NotebookRun
    notebook: nbformat.NotebookNode

    @property
    def first(self) -> int:
        """Number of the first cell that has to run: the first one that is not done.

        A cell whose artefacts are not there any more is not done either. One more than there are
        cells when all are.
        """
        missing = {item.cell for item in self.run.artefacts if not item.path.exists()}
        for cell in self.run.cells:
            if cell.state not in ("done", "resumed") or cell.number in missing:
                return cell.number
        return len(self.run.cells) + 1


def read_former(output: Path) -> FormerRun | None:
    """The run that an output notebook holds; ``None`` when there is no such file.

    Raises:
        NotebookError: It holds none.
    """
    if not output.exists():
        return None
    try:
        notebook = nbformat.read(output, as_version=4)
        run = from_record(notebook.metadata[RECORD])
    except Exception:  # nbformat raises several kinds for what is no notebook
        raise NotebookError(
            f"{output} is not the output of a run, so nothing can be resumed",
            remedy="Run without --resume.",
        ) from None
    notebook.cells = [
        cell for cell in notebook.cells if FAILURE not in cell.metadata.get("tags", [])
    ]
    return FormerRun(run, notebook)


def check_unchanged(
    former: FormerRun, cells: Sequence[Cell], parameters: Mapping[str, str], recipe: Path
) -> None:
    """Make sure that the run that goes on is the one that was begun.

    Args:
        former: The run to go on with.
        cells: The code cells of the recipe now.
        parameters: The values that are given now.
        recipe: The notebook.

    Raises:
        NotebookError: Parameters or cells before the first one to run are not what they were.
    """
    before = former.run.parameters
    changed = [
        f"parameter {name}: {before.get(name, 'not given')} became "
        f"{parameters.get(name, 'not given')}"
        for name in {**before, **parameters}
        if before.get(name) != parameters.get(name)
    ]
    if not changed:
        done = former.run.cells[: former.first - 1]
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
            remedy="Run without --resume; build steps that are unchanged do not run again.",
        )
