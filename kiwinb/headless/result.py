"""The record of a headless run of a recipe, during and after the run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from kiwinb.errors import ExpectationError, KiwinbError, NotebookError, NotebookTimeout
from kiwinb.results.artefacts import Artefact
from kiwinb.steps.recorded import StepRecord
from kiwinb.typed_json import WrongData, from_json, to_json
from kiwinb.visible import visible

CellState = Literal["pending", "running", "resumed", "done", "failed"]
FailureKind = Literal["error", "exit", "expectation", "timeout", "died", "interrupted"]
RunState = Literal["running", "passed", "failed", "interrupted"]

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")


@dataclass(frozen=True)
class Cell:
    """A code cell of a run.

    Attributes:
        number: Number in ``In [number]`` of the executed notebook, from 1.
        title: The heading right before it, or else its first line of code.
        source: SHA-256 of its source.
        state: State of the cell; ``resumed`` if it ran in a former run and was executed again for
            the cells after it.
        seconds: Run time in this run, in seconds.
    """

    number: int
    title: str
    source: str
    state: CellState = "pending"
    seconds: float | None = None


@dataclass(frozen=True)
class Expectation:
    """Something that a recipe expects of its appliance, with the measured value.

    Attributes:
        what: Description, for example ``image size``.
        expected: The limit, as text.
        measured: The measured value, as text.
        passed: Whether the expectation holds.
        cell: Number of the cell that measured it.
    """

    what: str
    expected: str
    measured: str
    passed: bool
    cell: int


@dataclass(frozen=True)
class Failure:
    """The reason why a run did not pass.

    Attributes:
        kind: ``error`` (a cell raised an exception), ``exit`` (a cell ended the run with a status
            other than 0), ``expectation``, ``timeout``, ``died`` (the kernel died) or
            ``interrupted``.
        cell: Number of the cell; ``None`` if no cell was running.
        problem: Description in one sentence or line.
        log: Last lines that the cell printed.
        traceback: Traceback that the cell shows.
        status: Exit status that the cell asked for; ``None`` if it did not.
    """

    kind: FailureKind
    cell: int | None
    problem: str
    log: tuple[str, ...] = ()
    traceback: tuple[str, ...] = ()
    status: int | None = None


@dataclass(frozen=True)
class NotebookRun:
    """A run of a recipe.

    Attributes:
        recipe: The notebook.
        output: The executed notebook.
        state: State of the run.
        parameters: Given values of parameters, as Python source.
        cells: The code cells, in order.
        expectations: The expectations, in order.
        artefacts: The artefacts of the cells, in order.
        failure: Why it did not pass.
        signal: Number of the signal that interrupted it.
        seconds: Run time in seconds.
        started: Start time, as ISO 8601 text.
        resumed: Number of the cell at which a resumed run continued. If all cells had passed
            before, it is one more than the number of cells.
        ended: Number of the cell that ended the run with the status 0, for example by
            ``sys.exit(0)``; the cells after it are pending. ``None`` if none did.
        token: Token of the matrix run to which it belongs.
    """

    recipe: Path
    output: Path
    state: RunState
    parameters: Mapping[str, str] = field(default_factory=dict)
    cells: tuple[Cell, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    artefacts: tuple[Artefact, ...] = ()
    failure: Failure | None = None
    signal: int | None = None
    seconds: float = 0.0
    started: str = ""
    resumed: int | None = None
    ended: int | None = None
    token: str = ""

    @property
    def images(self) -> tuple[Path, ...]:
        """Paths of the images that the cells delivered, in order."""
        return tuple(item.path for item in self.artefacts if item.kind == "image")

    @property
    def passed(self) -> bool:
        """Whether all cells succeeded and all expectations hold."""
        return self.state == "passed"

    @property
    def early_end(self) -> str:
        """One sentence about the cell that ended the run with the status 0; empty if none did."""
        return self.early_end_at(_named)

    def early_end_at(self, named: Callable[[Cell], str]) -> str:
        """The sentence :attr:`early_end`, with the name that a function gives to the cell."""
        if self.ended is None:
            return ""
        left = len(self.cells) - self.ended
        after = f"the {left} cells after it" if left > 1 else "the cell after it"
        told = f"; {after} did not run" if left else ""
        return f"Cell {named(self.cell(self.ended))} ended the run{told}."

    @property
    def failed_at(self) -> str:
        """The cell of the failure, for a message; empty if no cell was running."""
        if self.failure is None or self.failure.cell is None:
            return ""
        return f"cell {_named(self.cell(self.failure.cell))}"

    def cell(self, number: int) -> Cell:
        """Return a cell by its number."""
        return self.cells[number - 1]

    def with_cell(self, number: int, **changes: Any) -> NotebookRun:
        """Return this run with changes to a cell."""
        cells = list(self.cells)
        cells[number - 1] = replace(cells[number - 1], **changes)
        return replace(self, cells=tuple(cells))

    def error(self) -> KiwinbError | None:
        """Return the error for the user; ``None`` if the run did not fail."""
        failure = self.failure
        if failure is None:
            return None
        where = f"{self.failed_at}: " if self.failed_at else ""
        again = f"Everything up to there is in {self.output}; --resume continues from there."
        said = "".join(f"\n  | {line}" for line in failure.log)
        match failure.kind:
            case "expectation":
                return ExpectationError(f"{self.recipe}: {where}{failure.problem}", remedy=again)
            case "timeout":
                return NotebookTimeout(f"{self.recipe}: {where}{failure.problem}", remedy=again)
        return NotebookError(f"{self.recipe}: {where}{failure.problem}{said}", remedy=again)


@dataclass(frozen=True)
class CellEvent:
    """An event of a cell in a run: it starts or ends, prints, or a build in it goes on.

    Attributes:
        cell: The cell in its new state; it has ``seconds`` if it ends.
        total: Number of code cells.
        line: Last line that the cell printed; ``None`` for other events.
        output: What the cell printed, or the text of what it displayed; empty for other events.
        step: What happened to a step of a build; ``None`` for other events.
    """

    cell: Cell
    total: int
    line: str | None = None
    output: str = ""
    step: StepRecord | None = None


Watcher = Callable[[CellEvent], None]


def _named(cell: Cell) -> str:
    return f"{cell.number} ({visible(cell.title)})"


def source_digest(source: str) -> str:
    """Compute the SHA-256 of the source of a cell."""
    return hashlib.sha256(source.encode()).hexdigest()


def plain_text(text: str) -> str:
    """Remove terminal escape sequences, such as those for colours, from a text."""
    return _ANSI.sub("", text)


def to_record(run: NotebookRun) -> dict[str, Any]:
    """Convert a run to JSON data."""
    return {"format": 1, **to_json(run)}


def from_record(data: Mapping[str, Any]) -> NotebookRun:
    """Convert JSON data from :func:`to_record` back to a run.

    Raises:
        LookupError, TypeError, ValueError: The data is not a run, or has another format.
    """
    values = dict(data)
    if values.pop("format") != 1:
        raise ValueError("of another version of kiwinb")
    run: NotebookRun = from_json(values, NotebookRun)
    return checked(run)


def checked(run: NotebookRun) -> NotebookRun:
    """Check that the parts of a run that was read from data fit together.

    Raises:
        WrongData: They do not.
    """
    if [cell.number for cell in run.cells] != [*range(1, len(run.cells) + 1)]:
        raise WrongData("the cells are not numbered")
    named = {run.ended, None if run.failure is None else run.failure.cell}
    named |= {item.cell for item in run.artefacts} | {item.cell for item in run.expectations}
    if any(number is not None and not 1 <= number <= len(run.cells) for number in named):
        raise WrongData("it names a cell that it does not have")
    return run
