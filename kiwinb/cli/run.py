"""``kiwinb run``: execute a recipe notebook headless."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from kiwinb.cli.cells import annotate_on_ci, show_expectations
from kiwinb.cli.context import GlobalOptions, pass_options
from kiwinb.cli.run_progress import cell_progress
from kiwinb.cli.terminal import Terminal, emit, print_json, say, say_each

if TYPE_CHECKING:
    from kiwinb.headless.parameters import Parameter
    from kiwinb.headless.result import NotebookRun
    from kiwinb.results.artefacts import Collected

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
    help="Set a parameter; its type decides how kiwinb reads VALUE.",
)
@click.option(
    "-f",
    "--parameters-file",
    "files",
    type=FILE,
    multiple=True,
    help="Read parameters from this YAML 1.2 file.",
)
@click.option(
    "-y", "--parameters-yaml", "texts", multiple=True, help="Set parameters, written in YAML 1.2."
)
@click.option("--help-notebook", is_flag=True, help="Show the parameters of RECIPE and exit.")
@click.option(
    "-o",
    "--output",
    type=FILE,
    help="Write the executed notebook here; by default to out/NAME.ipynb.",
)
@click.option("--report", type=FILE, help="Write an HTML report that needs no network.")
@click.option(
    "--junit", type=FILE, help="Write JUnit XML with a case for each cell and expectation."
)
@click.option(
    "--artefacts", type=FILE, help="Collect images, result files and reports in this directory."
)
@click.option(
    "--log-output", is_flag=True, help="Show what the cells print, and the steps of their builds."
)
@click.option("--resume", is_flag=True, help="Continue at the cell where the last run ended.")
@click.option("--timeout", type=float, metavar="SECONDS", help="Time limit for each cell.")
@click.option("--run-timeout", type=float, metavar="SECONDS", help="Time limit for the whole run.")
@click.option(
    "-k", "--kernel", help="Name of the kernel; by default the one that the notebook names."
)
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
    log_output: bool,
    resume: bool,
    timeout: float | None,
    run_timeout: float | None,
    kernel: str | None,
) -> None:
    """Execute the notebook RECIPE from top to bottom and print the paths of its images.

    -p overrides -y, and -y overrides -f. Exit status: 0 if the run passed, 12 if a cell failed or
    the kernel died, 14 if an expectation does not hold, 15 if the run took too long, 130 or 143 if
    it was interrupted, 2 if the command line or a parameter is wrong. A cell may end the run with
    sys.exit(N): the run passes if N is 0, and otherwise the exit status is N.
    """
    from kiwinb.headless.parameters import recipe_parameters
    from kiwinb.headless.recipe import read_notebook

    known = recipe_parameters(read_notebook(recipe), recipe)
    if help_notebook:
        _show_parameters(options, recipe, known)
        return

    from kiwinb.headless.outcome import OutcomeFiles, write_outcome
    from kiwinb.headless.run import Limits, run_notebook

    with cell_progress(options.console, log_output=log_output or options.verbose) as watch:
        done = run_notebook(
            recipe,
            output=output,
            parameters=_given(files, texts, parameters),
            watch=watch,
            limits=Limits(timeout, run_timeout),
            resume=resume,
            kernel=kernel,
        )
    collected = write_outcome(done, OutcomeFiles(report, junit, artefacts))
    _show(options, done, collected)
    if done.signal is not None:
        say(f"kiwinb: {done.error()}", err=True)
        sys.exit(128 + done.signal)
    error = done.error()
    if done.failure is not None and done.failure.status is not None:
        say(f"kiwinb: {error}", err=True)
        sys.exit(done.failure.status)
    if error is not None:
        raise error


def _given(
    files: Sequence[Path], texts: Sequence[str], parameters: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """The values of the options -f, -y and -p; later ones override earlier ones."""
    from kiwinb.headless.parameters import Given, parse_yaml, read_parameter_file

    given: dict[str, Any] = {}
    for file in files:
        given.update(read_parameter_file(file))
    for text in texts:
        given.update(parse_yaml(text, "--parameters-yaml"))
    given.update((name, Given(text)) for name, text in parameters)
    return given


def _show(options: GlobalOptions, done: NotebookRun, collected: Sequence[Collected]) -> None:
    from kiwinb.headless.result import to_record

    if done.resumed is not None and done.resumed > len(done.cells):
        options.console.print("The last run passed; nothing to do.")
    if done.early_end:
        options.console.print(done.early_end, soft_wrap=True)
    show_expectations(options.console, done)
    annotate_on_ci(done)
    if options.json:
        print_json({**to_record(done), "collected": [vars(item) for item in collected]})
    else:
        options.console.print(f"The executed notebook is {done.output}", soft_wrap=True)
        for image in done.images:
            emit(image)


def _show_parameters(
    options: GlobalOptions, recipe: Path, parameters: tuple[Parameter, ...]
) -> None:
    if options.json:
        names = ("name", "type_name", "default", "help")
        print_json([{name: getattr(item, name) for name in names} for item in parameters])
        return
    if not parameters:
        say_each(f"{recipe} takes no parameters.")
        return
    table = Table("Name", "Type", "Default", "Help", box=None, pad_edge=False)
    for item in parameters:
        row = (item.name, item.type_name, item.default, item.help)
        table.add_row(*row)
    Terminal(soft_wrap=not sys.stdout.isatty()).print(table)
