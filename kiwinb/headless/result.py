"""What a headless run of a recipe is told to be, while it goes on and when it has ended."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from kiwinb.errors import ExpectationError, KiwinbError, NotebookError, NotebookTimeout
from kiwinb.results.artefacts import Artefact

CellState = Literal["pending", "running", "resumed", "done", "failed"]
FailureKind = Literal["error", "expectation", "timeout", "died", "interrupted"]
RunState = Literal["running", "passed", "failed", "interrupted"]

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")


@dataclass(frozen=True)
class Cell:
    """A code cell of a run.

    Attributes:
        number: What stands in ``In [number]`` of the executed notebook, from 1.
        title: Its first line of code, or the heading that stands before it.
        source: SHA-256 of its source.
        state: ``resumed`` when it ran before and was executed again for what follows it.
        seconds: How long it took, in this run.
    """

    number: int
    title: str
    source: str
    state: CellState = "pending"
    seconds: float | None = None


@dataclass(frozen=True)
class Expectation:
    """Something that a recipe expects of its appliance, and what was measured.

    Attributes:
        what: In words, for example ``image size``.
        expected: The bound, as text.
        measured: The value, as text.
        passed: It holds.
        cell: Number of the cell that measured it.
    """

    what: str
    expected: str
    measured: str
    passed: bool
    cell: int


@dataclass(frozen=True)
class Failure:
    """Why a run did not pass.

    Attributes:
        kind: ``error`` (a cell raised), ``expectation``, ``timeout``, ``died`` (the kernel did) or
            ``interrupted``.
        cell: Number of the cell; ``None`` when none was running.
        problem: In one sentence or line.
        log: The last lines that the cell printed.
        traceback: The traceback that the cell shows.
    """

    kind: FailureKind
    cell: int | None
    problem: str
    log: tuple[str, ...] = ()
    traceback: tuple[str, ...] = ()


@dataclass(frozen=True)
class NotebookRun:
    """A run of a recipe.

    Attributes:
        recipe: The notebook.
        output: The executed notebook.
        state: Whether it passed.
        parameters: The values that were given, as Python source.
        cells: The code cells, in order.
        expectations: What was expected, in order.
        artefacts: What the cells made, in order.
        failure: Why it did not pass.
        signal: Number of the signal that interrupted it.
        seconds: How long it took.
        started: When it began, as ISO 8601 text.
        resumed: Number of the cell at which it went on, when it was resumed; one more than there
            are cells when all had passed before.
        token: Names the matrix that it is part of.
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
    token: str = ""

    @property
    def images(self) -> tuple[Path, ...]:
        """Paths of the images that its cells delivered, in order."""
        return tuple(item.path for item in self.artefacts if item.kind == "image")

    @property
    def passed(self) -> bool:
        """All cells ran, and all that is expected holds."""
        return self.state == "passed"

    def cell(self, number: int) -> Cell:
        """The cell of a number."""
        return self.cells[number - 1]

    def with_cell(self, number: int, **changes: Any) -> NotebookRun:
        """The same with a cell changed."""
        cells = list(self.cells)
        cells[number - 1] = replace(cells[number - 1], **changes)
        return replace(self, cells=tuple(cells))

    def error(self) -> KiwinbError | None:
        """What to tell the user when it did not pass."""
        failure = self.failure
        if failure is None:
            return None
        where = "" if failure.cell is None else f"cell {_named(self.cell(failure.cell))}: "
        again = f"Everything up to there is in {self.output}; --resume goes on from it."
        said = "".join(f"\n  | {line}" for line in failure.log)
        match failure.kind:
            case "expectation":
                return ExpectationError(f"{self.recipe}: {where}{failure.problem}", remedy=again)
            case "timeout":
                return NotebookTimeout(f"{self.recipe}: {where}{failure.problem}", remedy=again)
        return NotebookError(f"{self.recipe}: {where}{failure.problem}{said}", remedy=again)


@dataclass(frozen=True)
class CellEvent:
    """Something happened to a cell of a run.

    Attributes:
        cell: The cell, in its new state; it ends when it has ``seconds``.
        total: How many code cells there are.
        line: The last line that the running cell printed, when the event is that.
    """

    cell: Cell
    total: int
    line: str | None = None


Watcher = Callable[[CellEvent], None]


def _named(cell: Cell) -> str:
    return f"{cell.number} ({cell.title})"


def source_digest(source: str) -> str:
    """SHA-256 of the source of a cell."""
    return hashlib.sha256(source.encode()).hexdigest()


def plain_text(text: str) -> str:
    """Text as it reads, without the codes that colour it on a terminal."""
    return _ANSI.sub("", text)


def to_record(run: NotebookRun) -> dict[str, Any]:
    """A run as JSON data."""
    data = asdict(run)
    data["recipe"], data["output"] = str(run.recipe), str(run.output)
    data["artefacts"] = [{**asdict(item), "path": str(item.path)} for item in run.artefacts]
    return {"format": 1, **data}


def from_record(data: Mapping[str, Any]) -> NotebookRun:
    """The run that :func:`to_record` wrote.

    Raises:
        LookupError, TypeError, ValueError: It did not.
    """
    values = dict(data)
    if values.pop("format") != 1:
        raise ValueError("of another version of kiwinb")
    failure = values["failure"]
    if failure is not None:
        failure = Failure(
            **{**failure, "log": tuple(failure["log"]), "traceback": tuple(failure["traceback"])}
        )
    return NotebookRun(
        **{
            **values,
            "recipe": Path(values["recipe"]),
            "output": Path(values["output"]),
            "cells": tuple(Cell(**item) for item in values["cells"]),
            "expectations": tuple(Expectation(**item) for item in values["expectations"]),
            "artefacts": tuple(
                Artefact(**{**item, "path": Path(item["path"])}) for item in values["artefacts"]
            ),
            "failure": failure,
        }
    )
