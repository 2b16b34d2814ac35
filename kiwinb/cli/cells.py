"""What the command line shows of a run: its cells as they go, and what was expected."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from kiwinb.headless.result import CellEvent, NotebookRun

_MARKS = {"running": ">", "resumed": "=", "done": "+", "failed": "!"}


@contextmanager
def cell_progress(console: Console, *, verbose: bool) -> Iterator[Callable[[CellEvent], None]]:
    """A watcher that shows the cells of a run: live on a terminal, plain lines elsewhere.

    Args:
        console: Usually standard error, so that results can be piped on.
        verbose: Show what the cells print, too.
    """
    if not console.is_terminal:
        yield lambda event: _print(console, event, verbose=verbose, started=True)
        return
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[line]}", markup=False, style="dim"),
        console=console,
        transient=True,
    ) as bars:
        tasks: list[TaskID] = []

        def watch(event: CellEvent) -> None:
            if event.line is not None and tasks:
                bars.update(tasks[-1], line=event.line[:60])
            elif event.cell.seconds is None:
                tasks.append(bars.add_task(_named(event), total=None, line=""))
                return
            elif tasks:
                bars.remove_task(tasks.pop())
            _print(bars.console, event, verbose=verbose, started=False)

        yield watch


def _print(console: Console, event: CellEvent, *, verbose: bool, started: bool) -> None:
    cell = event.cell
    if event.line is not None:
        if verbose:
            console.print(f"  {event.line}", markup=False, highlight=False)
    elif cell.seconds is not None:
        note = "executed again, " if cell.state == "resumed" else ""
        took = f" ({note}{cell.seconds:.1f} s)"
        text = f"{_MARKS[cell.state]} {_named(event)}{took}"
        console.print(text, markup=False, highlight=False)
    elif started and cell.state == "running":
        console.print(f"> {_named(event)}", markup=False, highlight=False)


def _named(event: CellEvent) -> str:
    return f"[{event.cell.number}/{event.total}] {event.cell.title}"


def show_expectations(console: Console, run: NotebookRun) -> None:
    """Show what the recipe expected and what was measured."""
    if not run.expectations:
        return
    table = Table("Expectation", "Expected", "Measured", "Cell", "", box=None, pad_edge=False)
    for item in run.expectations:
        table.add_row(
            *(_plain(text) for text in (item.what, item.expected, item.measured)),
            str(item.cell),
            "holds" if item.passed else "[bold red]does not hold[/]",
        )
    console.print(table, highlight=False)


def annotate_on_ci(run: NotebookRun) -> None:
    """On GitHub Actions, mark the recipe with what failed.

    See https://docs.github.com/actions/reference/workflow-commands-for-github-actions.
    """
    failure = run.failure
    if failure is None or os.environ.get("GITHUB_ACTIONS") != "true":
        return
    place = run.recipe.resolve()
    workspace = Path(os.environ.get("GITHUB_WORKSPACE", Path.cwd())).resolve()
    if place.is_relative_to(workspace):
        place = place.relative_to(workspace)
    title = run.recipe.name if failure.cell is None else f"{run.recipe.name}, cell {failure.cell}"
    text = "\n".join([failure.problem, *failure.log])
    click.echo(
        f"::error file={_property(str(place))},title={_property(title)}::{_message(text)}", err=True
    )


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")


def _plain(text: str) -> str:
    return text.replace("[", "\\[")
