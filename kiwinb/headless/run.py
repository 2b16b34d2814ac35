"""Run a recipe notebook headless, so that CI executes the build as documented."""

from __future__ import annotations

import asyncio
import copy
import os
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat

from kiwinb.errors import NotebookError
from kiwinb.files import replace_file
from kiwinb.headless.failure import annotation, end_note, failure_of, unmet
from kiwinb.headless.following import following
from kiwinb.headless.kernel import Ending, Kernel, StopRequest
from kiwinb.headless.parameters import inject, literal, recipe_parameters, resolve
from kiwinb.headless.recipe import read_notebook
from kiwinb.headless.records import Records
from kiwinb.headless.result import (
    Cell,
    CellEvent,
    Failure,
    NotebookRun,
    Watcher,
    plain_text,
    source_digest,
    to_record,
)
from kiwinb.headless.resume import (
    END,
    FAILURE,
    RECORD,
    FormerRun,
    check_unchanged,
    read_former,
    remove_markers,
)
from kiwinb.paths import normalised
from kiwinb.steps.recorded import StepRecord

_SKIP = "skip-execution"


@dataclass(frozen=True)
class Limits:
    """Time limits of a run, in seconds; ``None`` for no limit.

    Attributes:
        cell: Limit for each cell.
        run: Limit for the whole run.
    """

    cell: float | None = None
    run: float | None = None


def run_notebook(
    recipe: Path,
    *,
    output: Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    watch: Watcher = lambda event: None,
    limits: Limits | None = None,
    resume: bool = False,
    kernel: str | None = None,
    token: str = "",
    stop_file: Path | None = None,
) -> NotebookRun:
    """Execute a notebook from top to bottom, saving the output notebook before and after each cell.

    SIGINT, SIGTERM and SIGHUP interrupt the running cell, so that a build in it ends cleanly; a
    second signal kills the kernel. However the run ends, the output notebook records how far it
    came.

    Args:
        recipe: The notebook, also the output of a former run; the kernel runs in its directory.
        output: The file for the executed notebook; by default, ``out/<name>.ipynb`` in the working
            directory.
        parameters: Values that replace those in the cell tagged ``parameters``. Text to be read
            according to the type of the parameter is a :class:`~.parameters.Given`.
        watch: Called with events of the cells.
        limits: Time limits.
        resume: Whether to continue from the first cell that is not done in the output notebook. If
            there is no output notebook, the run starts from the beginning.
        kernel: Name of the kernel; ``None`` for the one that the notebook names.
        token: Only a run with the same token is resumed.
        stop_file: If this file appears, the run is interrupted as by SIGTERM.

    Returns:
        The run, whether it passed or not.

    Raises:
        NotebookError: The notebook cannot be read, has no such parameter, its kernel cannot be
            started, or it cannot be resumed.
    """
    recipe = normalised(recipe)
    notebook = remove_markers(read_notebook(recipe))
    values = resolve(recipe_parameters(notebook, recipe), parameters or {}, recipe)
    inject(notebook, values)
    target = normalised(output or Path("out") / recipe.name)
    if target.exists() and target.samefile(recipe):
        raise NotebookError(
            f"{recipe} would be overwritten by its output", remedy="Name another file with -o."
        )
    given = {name: literal(value) for name, value in values.items()}
    session = _Session(notebook, recipe, target, given, watch, limits or Limits(), token)
    if resume:
        former = read_former(target)
        if former is not None and former.run.token == token:
            check_unchanged(former, session.run.cells, given, recipe)
            if former.is_done_with(len(session.run.cells)):
                return replace(former.run, resumed=former.first)
            session.take_up(former)
    session.save()
    return _complete(session.execute(kernel, stop_file))


def _complete(coroutine: Any) -> NotebookRun:
    """Run a coroutine to its end, even if an event loop is already running, as in a notebook."""
    result: NotebookRun
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        result = asyncio.run(coroutine)
        return result
    with ThreadPoolExecutor(1) as thread:
        result = thread.submit(lambda: asyncio.run(coroutine)).result()
        return result


class _Session:
    """A run in progress: the notebook with the outputs so far, and the record of the run."""

    def __init__(
        self,
        notebook: nbformat.NotebookNode,
        recipe: Path,
        target: Path,
        parameters: Mapping[str, str],
        watch: Watcher,
        limits: Limits,
        token: str,
    ) -> None:
        self._notebook = notebook
        self._watch = watch
        self._limits = limits
        self._positions = _code_positions(notebook)
        self._first = 1
        notebook.metadata.pop("widgets", None)
        for position in self._positions:
            notebook.cells[position].update(outputs=[], execution_count=None)
        self.run = NotebookRun(
            recipe=recipe,
            output=target,
            state="running",
            parameters=parameters,
            cells=tuple(
                Cell(number, _title(notebook, position), _digest(notebook, position))
                for number, position in enumerate(self._positions, 1)
            ),
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            token=token,
        )
        target.parent.mkdir(parents=True, exist_ok=True)

    def take_up(self, former: FormerRun) -> None:
        """Take over the outputs of finished cells from a former run."""
        self._first = former.first
        self.run = replace(self.run, resumed=self._first)
        for number, position in enumerate(_code_positions(former.notebook), 1):
            if number < self._first:
                cell = former.notebook.cells[position]
                now = self._notebook.cells[self._positions[number - 1]]
                now.update(outputs=cell.outputs, execution_count=cell.execution_count)
                self.run = self.run.with_cell(number, state="resumed")
        if "widgets" in former.notebook.metadata:
            self._notebook.metadata["widgets"] = former.notebook.metadata["widgets"]

    def save(self) -> None:
        """Write the output notebook atomically."""
        self._notebook.metadata[RECORD] = to_record(self.run)
        text: str = nbformat.writes(self._notebook)
        replace_file(self.run.output, f"{text.rstrip()}\n")

    async def execute(self, kernel: str | None, stop_file: Path | None) -> NotebookRun:
        """Execute the cells; return the run, which the output notebook records, too."""
        began = time.monotonic()
        stop = StopRequest()
        with (
            tempfile.TemporaryDirectory(prefix="kiwinb-run-") as scratch,
            stop.by_signals(),
        ):
            records = Records(Path(scratch))
            try:
                async with (
                    stop.by_file(stop_file),
                    Kernel(
                        self._notebook,
                        directory=self.run.recipe.resolve().parent,
                        environment={**os.environ, **records.environment},
                        scratch=Path(scratch),
                        stop=stop,
                        name=kernel,
                        on_output=self._tell_output,
                    ) as running,
                ):
                    failure = await self._execute_cells(running, records, stop, began)
            finally:
                self.run = replace(self.run, seconds=time.monotonic() - began)
                self.save()
        self._conclude(failure or unmet(self.run), stop.signal)
        return self.run

    async def _execute_cells(
        self, kernel: Kernel, records: Records, stop: StopRequest, began: float
    ) -> Failure | None:
        for number in range(1, len(self.run.cells) + 1):
            if stop.asked.is_set():
                return self._failure(Ending("interrupted"), None)
            left = None if self._limits.run is None else self._limits.run - _since(began)
            if left is not None and left <= 0:
                return self._failure(Ending("timeout"), None)
            given = [limit for limit in (self._limits.cell, left) if limit is not None]
            ending = await self._execute(number, kernel, records, min(given, default=None))
            if ending is not None and ending.is_good:
                self._end_early(number)
                return None
            if ending is not None:
                return self._failure(ending, number)
        return None

    def _end_early(self, number: int) -> None:
        """Note that a cell ended the run well, and clear the cells after it."""
        self.run = replace(self.run, ended=number)
        for cell in self.run.cells[number:]:
            self.run = self.run.with_cell(cell.number, state="pending")
            position = self._positions[cell.number - 1]
            self._notebook.cells[position].update(outputs=[], execution_count=None)

    async def _execute(
        self, number: int, kernel: Kernel, records: Records, timeout: float | None
    ) -> Ending | None:
        position = self._positions[number - 1]
        cell = self._notebook.cells[position]
        again = number < self._first
        before = copy.deepcopy((cell.outputs, cell.execution_count)) if again else None
        if not again:
            self.run = self.run.with_cell(number, state="running")
            self.save()
        self._current = self.run.cell(number)
        self._watch(CellEvent(self._current, len(self.run.cells)))
        began = time.monotonic()
        async with following(records.steps, self._tell_step):
            ending = await kernel.execute(position, number, timeout)
        expectations = records.expectations(number)
        self.run = replace(
            self.run,
            expectations=(*self.run.expectations, *expectations),
            artefacts=(*self.run.artefacts, *records.artefacts(number)),
        )
        is_good = (ending is None or ending.is_good) and all(item.passed for item in expectations)
        state = "failed" if not is_good else "resumed" if again else "done"
        if before is not None and state == "resumed":
            cell.outputs, cell.execution_count = before
        self.run = self.run.with_cell(number, state=state, seconds=_since(began))
        self.save()
        self._watch(CellEvent(self.run.cell(number), len(self.run.cells)))
        return ending

    def _tell_output(self, text: str, is_printed: bool) -> None:
        text = plain_text(text)
        if not text:
            return
        lines = text.strip().splitlines() if is_printed else []
        line = lines[-1] if lines else None
        self._watch(CellEvent(self._current, len(self.run.cells), line, text))

    def _tell_step(self, step: StepRecord) -> None:
        self._watch(CellEvent(self._current, len(self.run.cells), step=step))

    def _failure(self, ending: Ending, number: int | None) -> Failure:
        cell = None if number is None else self._notebook.cells[self._positions[number - 1]]
        return failure_of(self.run, ending, number, cell)

    def _conclude(self, failure: Failure | None, signal: int | None) -> None:
        if failure is None:
            self.run = replace(self.run, state="passed")
        elif failure.kind == "interrupted":
            self.run = replace(self.run, state="interrupted", failure=failure, signal=signal)
        else:
            self.run = replace(self.run, state="failed", failure=failure)
        if self.run.ended is not None:
            self._insert(self._positions[self.run.ended - 1] + 1, end_note(self.run), END)
        if failure is not None and failure.cell is not None:
            text = annotation(failure, self.run.cell(failure.cell))
            self._insert(self._positions[failure.cell - 1], text, FAILURE)
        self.save()

    def _insert(self, position: int, text: str, tag: str) -> None:
        cell = nbformat.v4.new_markdown_cell(text, metadata={"tags": [tag]})
        self._notebook.cells.insert(position, cell)


def _since(began: float) -> float:
    return time.monotonic() - began


def _code_positions(notebook: nbformat.NotebookNode) -> list[int]:
    """Return the indexes of the cells to execute, chosen as nbclient does."""
    return [
        index
        for index, cell in enumerate(notebook.cells)
        if cell.cell_type == "code"
        and cell.source.strip()
        and _SKIP not in cell.metadata.get("tags", [])
    ]


def _digest(notebook: nbformat.NotebookNode, position: int) -> str:
    return source_digest(notebook.cells[position].source)


def _title(notebook: nbformat.NotebookNode, position: int) -> str:
    """Return the heading right before a cell, or else its first line."""
    if position and notebook.cells[position - 1].cell_type == "markdown":
        lines = notebook.cells[position - 1].source.splitlines()
        headings = [line.lstrip("#").strip() for line in lines if line.startswith("#")]
        if headings:
            return str(headings[-1])
    first: str = notebook.cells[position].source.strip().splitlines()[0]
    return first.lstrip("#% ") or first
