"""``kiwinb run``: a recipe notebook, executed headless."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import click

from kiwinb.cli.context import GlobalOptions, pass_options
from kiwinb.cli.terminal import print_json


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "-p",
    "parameters",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="Set a parameter; VALUE is a Python literal, or else taken as text.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The executed notebook; out/NAME.ipynb when not given.",
)
@click.option("--timeout", type=float, help="Seconds a single cell may take.")
@pass_options
def run(
    options: GlobalOptions,
    recipe: Path,
    parameters: tuple[tuple[str, str], ...],
    output: Path | None,
    timeout: float | None,
) -> None:
    """Execute the notebook RECIPE from top to bottom and print the paths of its images."""
    from kiwinb.notebook.run import CellEvent, run_notebook

    def show(event: CellEvent) -> None:
        mark = {"running": ">", "done": "+", "failed": "!"}[event.state]
        options.console.print(
            f"{mark} [{event.index}] {event.title}", markup=False, highlight=False
        )

    result = run_notebook(
        recipe,
        output=output,
        parameters={name: _value(text) for name, text in parameters},
        on_cell=show,
        timeout=timeout,
    )
    if options.json:
        print_json({"output": result.output, "images": result.images})
        return
    options.console.print(f"The executed notebook is {result.output}", highlight=False)
    for image in result.images:
        click.echo(image)


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
