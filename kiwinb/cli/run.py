"""``kiwinb run``: a recipe notebook, executed headless."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from kiwinb.cli.cells import annotate_on_ci, cell_progress, show_expectations
from kiwinb.cli.context import GlobalOptions, pass_options
from kiwinb.cli.terminal import print_json

if TYPE_CHECKING:
    from kiwinb.headless.parameters import Parameter

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("recipe", type=FILE)
@click.option(
    "-p",
    "--parameters",
    "parameters",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="Set a parameter; VALUE is read as the parameter's type says.",
)
@click.option(
    "-f", "--parameters-file", "files", type=FILE, multiple=True, help="YAML file of parameters."
)
@click.option("-y", "--parameters-yaml", "texts", multiple=True, help="Parameters as YAML.")
@click.option("--help-notebook", is_flag=True, help="Show the parameters of RECIPE and exit.")
@click.option(
    "-o", "--output", type=FILE, help="The executed notebook; out/NAME.ipynb when not given."
)
@click.option("--report", type=FILE, help="Write an HTML report that needs no network.")
@click.option("--junit", type=FILE, help="Write JUnit XML, a case per cell and expectation.")
@click.option(
    "--artefacts", type=FILE, help="Collect images, results and reports in this directory."
)
@click.option("--resume", is_flag=True, help="Go on from the cell where the last run ended.")
@click.option("--timeout", type=float, metavar="SECONDS", help="How long a single cell may take.")
@click.option("--run-timeout", type=float, metavar="SECONDS", help="How long the run may take.")
@click.option("-k", "--kernel", help="Name of the kernel; the notebook's own when not given.")
@pass_options
def run(
    options: GlobalOptions,
    /,
    recipe: Path,
    parameters: tuple[tuple[str, str], ...],
    files: tuple[Path, ...],
    texts: tuple[str, ...],
    help_notebook: bool,
    output: Path | None,
    report: Path | None,
    junit: Path | None,
    artefacts: Path | None,
    resume: bool,
    timeout: float | None,
    run_timeout: float | None,
    kernel: str | None,
) -> None:
    """Execute the notebook RECIPE from top to bottom and print the paths of its images.

    What -y sets counts more than what -f sets, and -p counts most. Exit status: 0 when it passed,
    12 when a cell failed or the kernel died, 14 when an expectation does not hold, 15 when it took
    too long, 130 or 143 when it was interrupted, 2 when it was called wrongly.
    """
    from kiwinb.headless.outcome import OutcomeFiles, write_outcome
    from kiwinb.headless.parameters import (
        Given,
        parse_yaml,
        read_parameter_file,
        recipe_parameters,
    )
    from kiwinb.headless.result import to_record
    from kiwinb.headless.run import Limits, read_notebook, run_notebook

    if help_notebook:
        _show_parameters(options, recipe, recipe_parameters(read_notebook(recipe), recipe))
        return
    given: dict[str, Any] = {}
    for file in files:
        given.update(read_parameter_file(file))
    for text in texts:
        given.update(parse_yaml(text, "--parameters-yaml"))
    given.update((name, Given(text)) for name, text in parameters)
    with cell_progress(options.console, verbose=options.verbose) as watch:
        done = run_notebook(
            recipe,
            output=output,
            parameters=given,
            watch=watch,
            limits=Limits(timeout, run_timeout),
            resume=resume,
            kernel=kernel,
        )
    if done.resumed is not None and done.resumed > len(done.cells):
        options.console.print("All of it passed before; nothing ran.", highlight=False)
    collected = write_outcome(done, OutcomeFiles(report, junit, artefacts))
    show_expectations(options.console, done)
    annotate_on_ci(done)
    if options.json:
        print_json({**to_record(done), "collected": [vars(item) for item in collected]})
    else:
        options.console.print(
            f"The executed notebook is {done.output}", highlight=False, soft_wrap=True
        )
        for image in done.images:
            click.echo(image)
    if done.signal is not None:
        click.echo(f"kiwinb: {done.error()}", err=True)
        sys.exit(128 + done.signal)
    error = done.error()
    if error is not None:
        raise error


def _show_parameters(
    options: GlobalOptions, recipe: Path, parameters: tuple[Parameter, ...]
) -> None:
    if options.json:
        names = ("name", "type_name", "default", "help")
        print_json([{name: getattr(item, name) for name in names} for item in parameters])
        return
    if not parameters:
        click.echo(f"{recipe} takes no parameters.")
        return
    table = Table("Name", "Type", "Default", "Help", box=None, pad_edge=False)
    for item in parameters:
        row = (item.name, item.type_name, item.default, item.help)
        table.add_row(*(text.replace("[", "\\[") for text in row))
    Console(soft_wrap=not sys.stdout.isatty()).print(table, highlight=False)
