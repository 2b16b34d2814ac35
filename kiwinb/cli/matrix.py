"""``kiwinb matrix``: run recipes with many combinations of parameters, in parallel."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from kiwinb.cli.context import GlobalOptions, pass_options
from kiwinb.cli.heartbeat import Heartbeat
from kiwinb.cli.terminal import emit, print_json, say_each
from kiwinb.durations import duration
from kiwinb.errors import MatrixError
from kiwinb.sizes import binary

if TYPE_CHECKING:
    from kiwinb.matrix.cell import Outcome
    from kiwinb.matrix.matrix import Matrix

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("file", metavar="MATRIX", type=FILE)
@click.option("-o", "--output", type=FILE, help="Directory for all results; by default out/NAME.")
@click.option(
    "-j", "--jobs", type=click.IntRange(1), help="Run this many cells at a time on this host."
)
@click.option("--scheduler", metavar="URL", help="Run on the Dask cluster with this scheduler.")
@click.option(
    "--resume", is_flag=True, help="Continue the cells that did not pass; do not repeat the others."
)
@click.option("--list", "list_", is_flag=True, help="List the cells and exit.")
@click.option("--timeout", type=float, metavar="SECONDS", help="Time limit for each notebook cell.")
@click.option("--run-timeout", type=float, metavar="SECONDS", help="Time limit for each recipe.")
@click.option(
    "-k", "--kernel", help="Name of the kernel; by default the one that each notebook names."
)
@pass_options
def matrix(
    options: GlobalOptions,
    /,
    file: Path,
    output: Path | None,
    jobs: int | None,
    scheduler: str | None,
    resume: bool,
    list_: bool,
    timeout: float | None,
    run_timeout: float | None,
    kernel: str | None,
) -> None:
    """Run the recipes in the TOML file MATRIX with all their parameters, and compare the results.

    Exit status: 0 if all cells passed, 16 if one did not or MATRIX is wrong, 130 or 143 if the
    run was interrupted.
    """
    from kiwinb.matrix.matrix import read_matrix

    read = read_matrix(file)
    if list_:
        _list_cells(options, read)
        return

    from kiwinb.headless.run import Limits
    from kiwinb.matrix.pool import open_pool
    from kiwinb.matrix.run import MatrixOptions, run_matrix
    from kiwinb.matrix.summary import HTML, JSON, NOTEBOOK, write_summary

    directory = output or Path("out") / file.stem
    count = len(read.cells)
    ended: list[Outcome] = []

    began = time.monotonic()

    def so_far() -> str:
        took = duration(time.monotonic() - began)
        return f"  {len(ended)} of {count} cells ended in {took}"

    processes = min(count, jobs or os.cpu_count() or 1)
    where = scheduler or f"{processes} processes"
    options.console.print(f"{count} cells, on {where}")
    wanted = MatrixOptions(Limits(timeout, run_timeout), kernel, resume)
    with open_pool(processes, scheduler) as pool, Heartbeat(options.console, so_far) as heartbeat:

        def show(outcome: Outcome) -> None:
            ended.append(outcome)
            mark = "+" if outcome.run.passed else "!"
            heartbeat.print(f"{mark} [{len(ended)}/{count}] {outcome.name}: {_told(outcome)}")

        outcomes = run_matrix(read, directory, pool, wanted, show)
    write_summary(directory.absolute(), read, outcomes)
    options.console.print(_table(outcomes))
    if options.json:
        emit((directory / JSON).read_text(), end="")
    else:
        emit(directory / (HTML if (directory / HTML).exists() else NOTEBOOK))
    _check_passed(outcomes)


def _list_cells(options: GlobalOptions, read: Matrix) -> None:
    if options.json:
        print_json([vars(cell) for cell in read.cells])
    else:
        say_each(*(cell.name for cell in read.cells))


def _check_passed(outcomes: Sequence[Outcome]) -> None:
    failed = [outcome.name for outcome in outcomes if not outcome.run.passed]
    if failed:
        raise MatrixError(
            f"{len(failed)} of {len(outcomes)} cells did not pass: {', '.join(failed)}",
            remedy="See their reports, and continue with --resume.",
        )


def _told(outcome: Outcome) -> str:
    run, failure = outcome.run, outcome.run.failure
    if failure is None:
        end = f"; {run.early_end}" if run.early_end else ""
        return f"passed ({duration(run.seconds)}, {outcome.host}){end}"
    where = f" in {run.failed_at}" if run.failed_at else ""
    lines = [f"{run.state}{where}:", *failure.problem.splitlines()]
    if outcome.report is not None:
        lines.append(f"Its report is {outcome.report}")
    return "\n    ".join(lines)


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table("Cell", "State", box=None, pad_edge=False)
    for name in ("Time", "Image", "On disk", "Packages"):
        table.add_column(name, justify="right")
    for outcome in outcomes:
        table.add_row(
            outcome.name,
            outcome.run.state,
            duration(outcome.run.seconds),
            *("" if size is None else binary(size) for size in (outcome.size, outcome.usage)),
            str(len(outcome.packages) or ""),
        )
    return table
