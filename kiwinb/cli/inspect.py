"""``kiwinb inspect``: show what a root tree or an image contains, and how two differ.

Importing pandas is slow, so each command imports it, and the modules that need it, when it runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from kiwinb.cli.context import GlobalOptions, pass_options
from kiwinb.cli.terminal import emit, print_json, say, say_each
from kiwinb.errors import InspectError
from kiwinb.sizes import binary, signed
from kiwinb.visible import visible

if TYPE_CHECKING:
    import pandas as pd

Form = Literal["text", "json", "csv"]
F = TypeVar("F", bound=Callable[..., Any])

BY = ("partition", "directory", "package", "section", "type", "extension")
_SIZES = ("size", "allocated", "usage", "installed_size", "compressed", "size_before", "size_after")


@click.group("inspect")
def group() -> None:
    """Look into root trees, checkpoints and images without mounting them.

    A PATH is a directory, an image of any known format, or the beginning of a checkpoint's key.
    """


def _with_form(command: F) -> F:
    """Add the options ``--json`` and ``--csv`` to a command."""
    for name in ("json", "csv"):
        command = click.option(
            f"--{name}", "form", flag_value=name, help=f"Print {name.upper()}, with sizes in bytes."
        )(command)
    return command


@group.command()
@click.argument("path", type=click.Path())
@_with_form
@pass_options
def files(options: GlobalOptions, path: str, form: Form | None) -> None:
    """List all files in PATH with their sizes, owners and packages."""
    from kiwinb.inspect.files import files
    from kiwinb.inspect.opening import opened

    with opened(path) as tree:
        table = files(tree)
    shown = ["path", "type", "size", "usage", "mode", "owner", "package"]
    _print(options, table, form, shown)


@group.command()
@click.argument("path", type=click.Path())
@click.option("--why", metavar="NAME", help="Explain why this package is installed.")
@_with_form
@pass_options
def packages(options: GlobalOptions, path: str, why: str | None, form: Form | None) -> None:
    """List the packages in PATH, how large they are, and why they are installed."""
    from kiwinb.inspect.opening import opened
    from kiwinb.inspect.packages import chain, packages

    with opened(path) as tree:
        if why is not None:
            steps = [str(step) for step in chain(tree, why)]
            if _form(options, form) == "json":
                print_json(steps)
            else:
                say_each(why, *(f"  {step}" for step in steps))
            return
        table = packages(tree)
    shown = ["name", "version", "arch", "state", "installed_size", "section", "why"]
    _print(options, table, form, shown)


@group.command()
@click.argument("path", type=click.Path())
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Include files that package managers and their scripts make.",
)
@_with_form
@pass_options
def unowned(options: GlobalOptions, path: str, everything: bool, form: Form | None) -> None:
    """List the files in PATH that no package owns."""
    from kiwinb.inspect.opening import opened
    from kiwinb.inspect.unowned import unowned

    with opened(path) as tree:
        table = unowned(tree)
    if not everything:
        table = table[table["reason"].eq("")]
    _print(options, table, form, ["path", "type", "usage", "mode", "owner", "reason"])


@group.command()
@click.argument("path", type=click.Path())
@_with_form
@pass_options
def verify(options: GlobalOptions, path: str, form: Form | None) -> None:
    """List the files of packages in PATH that are not as the package database states."""
    from kiwinb.inspect.opening import opened
    from kiwinb.inspect.verify import verify

    with opened(path) as tree:
        table = verify(tree)
    _print(options, table, form, ["path", "package", "what", "config"])


@group.command()
@click.argument("path", type=click.Path())
@click.option("--by", type=click.Choice(BY), default="directory", help="Group files by this.")
@click.option(
    "--depth", type=click.IntRange(1), default=1, help="Path components of each directory."
)
@click.option("--compressed", is_flag=True, help="Also compress all files and show the sizes.")
@click.option("--plot", type=click.Path(dir_okay=False), help="Write a treemap to this PNG file.")
@_with_form
@pass_options
def breakdown(
    options: GlobalOptions,
    path: str,
    by: Literal["partition", "directory", "package", "section", "type", "extension"],
    depth: int,
    compressed: bool,
    plot: str | None,
    form: Form | None,
) -> None:
    """Sum up the sizes of the files in PATH by group."""
    from kiwinb.inspect.breakdown import breakdown

    table = breakdown(path, by, depth=depth, compressed=compressed)
    if plot is not None:
        from kiwinb.inspect.plot import treemap

        treemap(table).savefig(plot, format="png")
    shown = ["group", "files", "size", "usage", "share"]
    _print(options, table, form, [*shown, "compressed"] if compressed else shown)


@group.command()
@click.argument("path", type=click.Path())
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    help="Write to this file; compress it if the name ends in .gz.",
)
def mtree(path: str, output: str | None) -> None:
    """List all files in PATH with their digests, in the format that mtree reads.

    `kiwinb inspect diff` compares such lists, even when PATH is gone.
    """
    from kiwinb.inspect.mtree import lines, write
    from kiwinb.inspect.opening import opened

    if output is not None:
        emit(write(path, output))
        return
    with opened(path) as tree:
        for line in lines(tree):
            emit(line)


@group.command()
@click.argument("a", type=click.Path())
@click.argument("b", type=click.Path())
@click.option("--files", "of_files", is_flag=True, help="List files instead of packages.")
@_with_form
@pass_options
def diff(options: GlobalOptions, a: str, b: str, of_files: bool, form: Form | None) -> None:
    """Show what changed from A to B, which may also be .packages or mtree files."""
    from kiwinb.inspect.diff import diff

    found = diff(a, b)
    match _form(options, form):
        case "json":
            print_json(
                {
                    "before": found.before,
                    "after": found.after,
                    "usage": found.usage,
                    "packages_problem": found.packages_problem or None,
                    "packages": _records(found.packages),
                    "files": _records(found.files),
                }
            )
        case "csv":
            if found.packages_problem and not of_files:
                raise InspectError(
                    f"packages are not compared; {found.packages_problem}",
                    remedy="Compare the files: --files.",
                )
            _print(options, found.files if of_files else found.packages, "csv", [])
        case "text":
            say(found)
            if of_files:
                _print(options, found.files, "text", ["path", "change", "what", "delta"])
            else:
                shown = ["name", "arch", "before", "after", "change", "delta"]
                _print(options, found.packages, "text", shown)


def _form(options: GlobalOptions, form: Form | None) -> Form:
    return form or ("json" if options.json else "text")


def _print(
    options: GlobalOptions, table: pd.DataFrame, form: Form | None, shown: list[str]
) -> None:
    """Print a table.

    Args:
        options: The global options.
        table: The table.
        form: The form that the options of the command ask for.
        shown: The columns that text shows; JSON and CSV have all columns.
    """
    match _form(options, form):
        case "json":
            print_json(_records(table))
        case "csv":
            from kiwinb.inspect.table import csv_of

            click.echo(csv_of(table, shown=sys.stdout.isatty()), nl=False)
        case "text":
            plain = _plain(table[shown])
            columns = [[name, *map(_text_of(name), plain[name])] for name in shown]
            right = [name in (*_SIZES, "delta", "share", "files") for name in shown]
            widths = [max(map(len, column)) for column in columns]
            for row in zip(*columns, strict=True):
                cells = (
                    cell.rjust(width) if is_right else cell.ljust(width)
                    for cell, width, is_right in zip(row, widths, right, strict=True)
                )
                say_each("  ".join(cells).rstrip())


def _text_of(column: str) -> Callable[[Any], str]:
    if column in _SIZES:
        return lambda value: "" if value is None else binary(value)
    if column == "delta":
        return lambda value: "" if value is None else signed(value)
    if column == "share":
        return lambda value: f"{value:.1%}"
    if column == "mode":
        return lambda value: f"{value:04o}"
    return lambda value: visible(str(value))


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows = _plain(table).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """The table with ``None`` for unknown values, and with whole numbers as integers."""
    return table.astype(object).where(table.notna(), None)
