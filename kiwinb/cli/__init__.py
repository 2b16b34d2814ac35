"""The command line: KIWI NG's commands and option names.

Every error ends in one message on standard error and the exit status of its
class (see ``kiwinb.errors``); a usage error exits with 2.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console

from kiwinb.cli import completion
from kiwinb.cli.context import GlobalOptions
from kiwinb.cli.lazy import LazyCommands, LazyGroup
from kiwinb.cli.logs import start_logging
from kiwinb.errors import KiwinbError
from kiwinb.version import __version__

FILE = click.Path(path_type=Path)


def _no_screen(_context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        raise click.UsageError(
            "--debug-run-scripts-in-screen is not available: scripts run in a sandbox without a "
            "terminal. Put `set -x` into the script and use --debug to see all it does; the steps "
            "before it are kept, so running again starts with the script."
        )


COMMANDS = {
    "checkpoints": ("checkpoints:group", "List, show, evict and verify checkpoints."),
    "description": ("description:description", "Look at an image description."),
    "doctor": ("doctor:doctor", "Say what this host lacks to build images."),
    "image": (
        "image:image",
        "Look at the image that a description means, and resize a finished one.",
    ),
    "inspect": (
        "inspect:group",
        "Look into a root tree, a checkpoint or an image; nothing is mounted.",
    ),
    "matrix": ("matrix:matrix", "Run recipes with all their parameters, and compare them."),
    "result": ("result:result", "List and bundle the files of a build."),
    "run": ("run:run", "Execute a notebook from top to bottom."),
    "system": ("system:system", "Prepare root trees and create images."),
}
"""Where each command is, and its line in the help: only the command that is called is imported."""


@click.group(
    cls=LazyGroup,
    commands=LazyCommands(COMMANDS),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--profile", multiple=True, help="Profile to select; may be given several times.")
@click.option("--type", "image_type", help="Image type to build, for example oem.")
@click.option("--kiwi-file", help="Name of the description file in its directory.")
@click.option("--target-arch", help="Architecture to build for, as uname -m prints it.")
@click.option("--shared-cache-dir", type=FILE, help="Directory of downloads all builds share.")
@click.option("--config", type=FILE, help="Settings file to read.")
@click.option("--setenv", multiple=True, help="Set an environment variable, NAME=VALUE.")
@click.option("--temp-dir", type=FILE, help="Directory of temporary files.")
@click.option("--logfile", type=FILE, help="Write all of the log to this file.")
@click.option("--logsocket", type=FILE, help="Write all of the log to this Unix socket.")
@click.option(
    "--loglevel",
    type=int,
    default=logging.WARNING,
    show_default=True,
    help="Show what is at least of this level: 10 debug, 20 information, 30 warning, 40 error.",
)
@click.option("--debug", is_flag=True, help="Log everything, show the output of commands.")
@click.option("--color-output", is_flag=True, help="Colours even when there is no terminal.")
@click.option("--json", is_flag=True, help="Print the result as JSON on standard output.")
@click.option(
    "--debug-run-scripts-in-screen",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_no_screen,
    help="Not available: scripts run without a terminal.",
)
@click.option(
    "--show-completion",
    type=completion.shells(),
    is_flag=False,
    flag_value="",
    expose_value=False,
    is_eager=True,
    callback=completion.show,
    metavar="[SHELL]",
    help="Print the completion script of your shell, or of bash, zsh or fish.",
)
@click.option(
    "--install-completion",
    type=completion.shells(),
    is_flag=False,
    flag_value="",
    expose_value=False,
    is_eager=True,
    callback=completion.install,
    metavar="[SHELL]",
    help="Install it.",
)
@click.version_option(__version__, prog_name="kiwinb", message="%(prog)s %(version)s")
@click.pass_context
def app(
    context: click.Context,
    profile: tuple[str, ...],
    image_type: str | None,
    kiwi_file: str | None,
    target_arch: str | None,
    shared_cache_dir: Path | None,
    config: Path | None,
    setenv: tuple[str, ...],
    temp_dir: Path | None,
    logfile: Path | None,
    logsocket: Path | None,
    loglevel: int,
    debug: bool,
    color_output: bool,
    json: bool,
) -> None:
    """Build system images from KIWI NG descriptions, in resumable steps."""
    for item in setenv:
        name, separator, value = item.partition("=")
        if not (name and separator):
            raise click.BadParameter(f"{item!r} is not NAME=VALUE", param_hint="--setenv")
        os.environ[name] = value
    if config is not None:
        os.environ["KIWINB_CONFIG"] = str(config)
    if temp_dir is not None:
        os.environ["TMPDIR"] = str(temp_dir)
    terminal = color_output or None
    console = Console(stderr=True, force_terminal=terminal)
    level = logging.DEBUG if debug else loglevel
    start_logging(console, level, file=logfile, socket_path=logsocket)
    context.obj = GlobalOptions(
        profiles=profile,
        type=image_type,
        kiwi_file=kiwi_file,
        arch=target_arch,
        cache=shared_cache_dir,
        verbose=debug,
        json=json,
        console=console,
        output=Console(force_terminal=terminal),
    )


def main() -> NoReturn:
    """Run the command line and exit."""
    try:
        status = app(prog_name="kiwinb", standalone_mode=False)
    except KiwinbError as error:
        _fail(error)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        print("kiwinb: interrupted; run again to go on from the last checkpoint", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except OSError as error:
        _fail(_explain(error))
    sys.exit(status if isinstance(status, int) else 0)


def _fail(error: KiwinbError) -> NoReturn:
    for text in (error.message, *getattr(error, "__notes__", ())):
        print(f"kiwinb: {text}", file=sys.stderr)
    sys.exit(error.exit_status)


def _explain(error: OSError) -> KiwinbError:
    """An error of the system as one of ours; says which directory is full, if one is."""
    from kiwinb.checkpoints.space import SpaceWatch, build_places
    from kiwinb.settings import load_settings

    with suppress(KiwinbError):
        settings = load_settings()
        places = build_places(settings.store, settings.cache)
        return SpaceWatch(places).explain(error) or KiwinbError(str(error))
    return KiwinbError(str(error))
