"""Describe why a run failed, with the log of the cell at which it ended."""

from __future__ import annotations

import nbformat

from kiwinb.headless import markdown
from kiwinb.headless.kernel import Ending
from kiwinb.headless.result import Cell, Failure, NotebookRun, plain_text

_TAIL = 20


def failure_of(
    run: NotebookRun, ending: Ending, number: int | None, cell: nbformat.NotebookNode | None
) -> Failure:
    """Describe the failure that ends a run.

    Args:
        run: The run so far.
        ending: How the cell ended, or what ended the run between two cells.
        number: Number of the cell; ``None`` between two cells.
        cell: The cell with its outputs; ``None`` between two cells.
    """
    if number is None or cell is None:
        what = {"timeout": "the run took longer than it may", "interrupted": "it was interrupted"}
        return Failure(ending.kind, None, what.get(ending.kind, "it failed"))
    seconds = run.cell(number).seconds or 0.0
    what = {
        "timeout": f"it took longer than it may: it was stopped after {seconds:.1f} s",
        "died": f"the kernel died after {seconds:.1f} s",
        "interrupted": f"it was interrupted after {seconds:.1f} s",
    }
    is_unmet = any(not item.passed and item.cell == number for item in run.expectations)
    return Failure(
        kind="expectation" if is_unmet and ending.kind == "error" else ending.kind,
        cell=number,
        problem=plain_text(ending.problem).strip() or what.get(ending.kind, "it failed"),
        log=_log_tail(cell),
        traceback=_traceback(cell),
        status=ending.status,
    )


def unmet(run: NotebookRun) -> Failure | None:
    """Describe the failure of a run whose cells succeeded; ``None`` if all expectations hold."""
    missed = [item for item in run.expectations if not item.passed]
    if not missed:
        return None
    told = "; ".join(
        f"{item.what}: expected {item.expected}, measured {item.measured}" for item in missed
    )
    count = f"{len(missed)} of {len(run.expectations)} expectations do not hold"
    return Failure("expectation", missed[0].cell, f"{count}: {told}")


def end_note(run: NotebookRun) -> str:
    """Return the Markdown text to insert into the executed notebook after the cell that ended it.

    Args:
        run: A run with a cell that ended it with the status 0.
    """
    said = run.early_end_at(lambda cell: f"{cell.number} ({markdown.span(cell.title)})")
    return f"**{said}**"


def annotation(failure: Failure, cell: Cell) -> str:
    """Return the Markdown text to insert into the executed notebook before the failed cell."""
    took = "" if cell.seconds is None else f" after {cell.seconds:.1f} s"
    parts = [f"**The run ended at this cell{took}** ({failure.kind})"]
    parts.append(markdown.block(failure.problem.splitlines()))
    if failure.log:
        parts += ["The last lines that it printed:", markdown.block(failure.log)]
    return "\n\n".join(parts)


def _log_tail(cell: nbformat.NotebookNode) -> tuple[str, ...]:
    text = "".join(out.text for out in cell.outputs if out.output_type == "stream")
    return tuple(plain_text(text).rstrip().splitlines()[-_TAIL:])


def _traceback(cell: nbformat.NotebookNode) -> tuple[str, ...]:
    for out in cell.outputs:
        if out.output_type == "error":
            return tuple(plain_text("\n".join(out.traceback)).splitlines())
    return ()
