"""What the command line shows of a run that has ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kiwinb.cli.terminal import say
from kiwinb.visible import visible

if TYPE_CHECKING:
    from kiwinb.headless.result import NotebookRun


def show_expectations(console: Console, run: NotebookRun) -> None:
    """Show what the recipe expected and what was measured."""
    if not run.expectations:
        return
    table = Table("Expectation", "Expected", "Measured", "Cell", "", box=None, pad_edge=False)
    for item in run.expectations:
        table.add_row(
            *(item.what, item.expected, item.measured, str(item.cell)),
            "holds" if item.passed else Text("does not hold", "bold red"),
        )
    console.print(table)


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
    say(
        f"::error file={_property(str(place))},title={_property(title)}::{_message(text)}", err=True
    )


def _message(text: str) -> str:
    return visible(text, lines=True).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
