"""The command line, with KIWI NG's commands and option names.

It prints every error as one message on standard error and exits with the status of the error's
class (see ``kiwinb.errors``), or with 2 if the command line is wrong.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import click

from kiwinb.cli import completion
from kiwinb.cli.context import GlobalOptions
from kiwinb.cli.lazy import LazyCommands, LazyGroup
from kiwinb.cli.logs import start_logging
from kiwinb.cli.terminal import Terminal, say
from kiwinb.errors import KiwinbError
from kiwinb.sandbox.environment import NAMED_VARIABLE
from kiwinb.version import __version__
from kiwinb.visible import visible

FILE = click.Path(path_type=Path)


def _no_screen(_context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        raise click.UsageError(
            "--debug-run-scripts-in-screen is not available: scripts run in a sandbox without a "
            "terminal. Put `set -x` into the script and use --debug to see what it does; the steps "
            "before it are held, so the next run starts with the script. `kiwinb checkpoints log` "
            "prints the whole log of a step, and `kiwinb inspect` looks into the tree before it."
        )


_OBJECTS = 20_000
"""How many new objects make Python look for garbage: imports and a plan make many, but no garbage.

At the end it looks through all of them once more, which takes 30 ms, unless they are frozen.
"""

COMMANDS = {
    "checkpoints": ("checkpoints:group", "List, show, evict and verify checkpoints."),
    "description": ("description:description", "Show an image description."),
    "doctor": ("doctor:doctor", "Report what this host lacks to build images."),
    "image": (
        "image:image",
        "Show what a description defines, and resize a finished image.",
    ),
    "inspect": (
        "inspect:group",
        "Look into root trees, checkpoints and images without mounting them.",
    ),
    "matrix": (
        "matrix:matrix",
        "Run recipes with all their parameters, and compare the results.",
    ),
    "result": ("result:result", "List and bundle the result files of a build."),
    "run": ("run:run", "Execute a notebook from top to bottom."),
    "system": ("system:system", "Prepare root trees and create images."),
}
"""Where each command is, and its line in the help. Only the command that runs is imported."""


@click.group(
    cls=LazyGroup,
    commands=LazyCommands(COMMANDS),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--profile", multiple=True, help="Select this profile.")
@click.option("--type", "image_type", help="Build this image type, for example oem.")
@click.option("--kiwi-file", help="Name of the description file in the description directory.")
@click.option("--target-arch", help="Build for this architecture, as uname -m prints it.")
@click.option(
    "--shared-cache-dir", type=FILE, help="Directory of the download cache that builds share."
)
@click.option(
    "--config",
    type=FILE,
    help="Read these settings (TOML), or this runtime configuration of KIWI NG (YAML).",
)
@click.option("--setenv", multiple=True, help="Set an environment variable: NAME=VALUE.")
@click.option("--temp-dir", type=FILE, help="Directory for temporary files.")
@click.option("--logfile", type=FILE, help="Write the whole log to this file, or to stdout.")
@click.option("--logsocket", type=FILE, help="Write the whole log to this Unix socket.")
@click.option(
    "--loglevel",
    type=int,
    default=logging.WARNING,
    show_default=True,
    help="Show messages of this level or above: 10 debug, 20 information, 30 warning, 40 error.",
)
@click.option("--debug", is_flag=True, help="Log everything, and show the output of commands.")
@click.option("--color-output", is_flag=True, help="Use colours even without a terminal.")
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
    help="Install the completion script of your shell, or of bash, zsh or fish.",
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
        named = os.environ.get(NAMED_VARIABLE, "")
        os.environ[NAMED_VARIABLE] = f"{named} {name}".strip()
    if config is not None:
        os.environ["KIWINB_CONFIG"] = str(config.absolute())
    if temp_dir is not None:
        os.environ["TMPDIR"] = str(temp_dir.absolute())
    terminal = color_output or None
    console = Terminal(stderr=True, force_terminal=terminal)
    level = logging.DEBUG if debug else loglevel
    start_logging(console, level, file=logfile, socket_path=logsocket)
    context.obj = GlobalOptions(
        profiles=profile,
        type=image_type,
        kiwi_file=kiwi_file,
        arch=target_arch,
        cache=shared_cache_dir and shared_cache_dir.absolute(),
        verbose=debug,
        json=json,
        console=console,
        output=Terminal(force_terminal=terminal),
    )


def main() -> NoReturn:
    """Run the command line and exit."""
    gc.set_threshold(_OBJECTS)
    atexit.register(gc.freeze)
    try:
        status = app(prog_name="kiwinb", standalone_mode=False)
    except KiwinbError as error:
        _fail(error)
    except click.ClickException as error:
        vars(error).update(message=visible(error.message, lines=True))
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        say("kiwinb: interrupted; run again to go on from the last checkpoint", err=True)
        sys.exit(128 + signal.SIGINT)
    except OSError as error:
        _fail(_explain(error))
    sys.exit(status if isinstance(status, int) else 0)


def _fail(error: KiwinbError) -> NoReturn:
    for text in (error.message, *getattr(error, "__notes__", ())):
        say(f"kiwinb: {text}", err=True)
    sys.exit(error.exit_status)


def _explain(error: OSError) -> KiwinbError:
    """Turn an operating system error into one of ours, which names the directory if one is full."""
    from kiwinb.checkpoints.space import SpaceWatch, build_places
    from kiwinb.settings import load_settings

    with suppress(KiwinbError):
        settings = load_settings()
        places = build_places(settings.store, settings.cache)
        return SpaceWatch(places).explain(error) or KiwinbError(str(error))
    return KiwinbError(str(error))
