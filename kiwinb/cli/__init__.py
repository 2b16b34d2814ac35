"""The command line: KIWI NG's commands and option names.

Every error ends in one message on standard error and the exit status of its
class (see ``kiwinb.errors``); a usage error exits with 2.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from kiwinb import __version__
from kiwinb.cli.context import GlobalOptions
from kiwinb.errors import KiwinbError

app = typer.Typer(
    name="kiwinb",
    help="Build system images from KIWI NG descriptions, in resumable steps.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"kiwinb {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    profile: Annotated[
        list[str] | None,
        typer.Option(help="Select a profile of the description; may be given several times."),
    ] = None,
    type: Annotated[str | None, typer.Option(help="Image type to build, for example oem.")] = None,
    kiwi_file: Annotated[
        str | None, typer.Option(help="Name of the description file in the directory.")
    ] = None,
    target_arch: Annotated[
        str | None, typer.Option(help="Architecture to build for, as uname -m prints it.")
    ] = None,
    shared_cache_dir: Annotated[
        Path | None, typer.Option(help="Directory of downloads that all builds share.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file to read.")] = None,
    setenv: Annotated[
        list[str] | None, typer.Option(help="Set an environment variable, NAME=VALUE.")
    ] = None,
    temp_dir: Annotated[Path | None, typer.Option(help="Directory of temporary files.")] = None,
    logfile: Annotated[Path | None, typer.Option(help="Write the log to this file.")] = None,
    loglevel: Annotated[
        int, typer.Option(help="10 debug, 20 info, 30 warning, 40 error.")
    ] = logging.WARNING,
    debug: Annotated[bool, typer.Option("--debug", help="Same as --loglevel 10.")] = False,
    color_output: Annotated[
        bool, typer.Option("--color-output", help="Colours even when there is no terminal.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON on standard output.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Version.")
    ] = False,
) -> None:
    """Options that stand before the command."""
    for item in setenv or ():
        name, separator, value = item.partition("=")
        if not (name and separator):
            raise typer.BadParameter(f"{item!r} is not NAME=VALUE", param_hint="--setenv")
        os.environ[name] = value
    if config is not None:
        os.environ["KIWINB_CONFIG"] = str(config)
    if temp_dir is not None:
        os.environ["TMPDIR"] = str(temp_dir)
    logging.basicConfig(
        level=logging.DEBUG if debug else loglevel,
        filename=logfile,
        format="%(asctime)s %(levelname)s %(message)s" if logfile else "%(levelname)s: %(message)s",
    )
    context.obj = GlobalOptions(
        profiles=tuple(profile or ()),
        type=type,
        kiwi_file=kiwi_file,
        arch=target_arch,
        cache=shared_cache_dir,
        verbose=debug,
        json=json,
        console=Console(stderr=True, force_terminal=color_output or None),
    )


def main() -> NoReturn:
    """Run the command line and exit."""
    try:
        app(standalone_mode=True)
    except KiwinbError as error:
        print(f"kiwinb: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        print("kiwinb: interrupted; run again to go on from the last checkpoint", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    sys.exit(0)
