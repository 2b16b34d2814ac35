"""The options of ``prepare`` and ``build`` that override the description."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from kiwinb.build.appliance import Appliance
from kiwinb.cli.arguments import hide, hide_logins
from kiwinb.cli.context import GlobalOptions
from kiwinb.description.override import REPOSITORY_FORMAT, Overrides, read_credentials
from kiwinb.settings import Settings, load_settings

F = TypeVar("F", bound=Callable[..., Any])


def _from_files(
    _context: click.Context, _option: click.Parameter, value: str | tuple[str, ...] | None
) -> str | tuple[str, ...] | None:
    """The credentials that are given, or those in the files that are named instead."""
    if value is None:
        return None
    for given in (value,) if isinstance(value, str) else value:
        if not Path(given).is_file():
            hide(given)
    return (
        read_credentials(value) if isinstance(value, str) else tuple(map(read_credentials, value))
    )


NETWORK = click.option(
    "--network",
    multiple=True,
    is_flag=False,
    flag_value="all",
    metavar="[SCRIPT]",
    help="Let this script, or all scripts, reach the network; without it, no script does.",
)
"""The option of all commands that run scripts of the description."""


def _hidden(
    _context: click.Context, _option: click.Parameter, value: str | tuple[str, ...] | None
) -> str | tuple[str, ...] | None:
    """The value, which may have user names and passwords."""
    for given in (value,) if isinstance(value, str) else value or ():
        hide_logins(given)
    return value


_ADD_REPO = (
    click.option(
        "--add-repo",
        multiple=True,
        callback=_hidden,
        metavar="REPO",
        help=f"Add a repository: {REPOSITORY_FORMAT}",
    ),
    click.option(
        "--add-repo-credentials",
        multiple=True,
        callback=_from_files,
        metavar="USER:PASSWORD",
        help="Credentials for each --add-repo, or a file that contains them.",
    ),
    click.option(
        "--ignore-repos", is_flag=True, help="Ignore all repositories of the description."
    ),
)
_OVERRIDES = (
    click.option(
        "--set-repo",
        callback=_hidden,
        metavar="REPO",
        help=f"Replace the first repository: {REPOSITORY_FORMAT}",
    ),
    click.option(
        "--set-repo-credentials",
        callback=_from_files,
        metavar="USER:PASSWORD",
        help="Credentials for --set-repo, or a file that contains them.",
    ),
    *_ADD_REPO,
    click.option(
        "--ignore-repos-used-for-build",
        is_flag=True,
        help="Ignore the repositories of the description, except those that only the image gets.",
    ),
    click.option(
        "--add-package", multiple=True, metavar="NAME", help="Install an additional package."
    ),
    click.option(
        "--add-bootstrap-package",
        multiple=True,
        metavar="NAME",
        help="Install an additional package at bootstrap.",
    ),
    click.option("--delete-package", multiple=True, metavar="NAME", help="Remove a package."),
    click.option("--set-container-tag", metavar="TAG", help="Set the tag of the container."),
    click.option("--set-container-derived-from", metavar="URI", help="Build on this container."),
    click.option(
        "--add-container-label",
        multiple=True,
        metavar="NAME=VALUE",
        help="Add a label to the container.",
    ),
    click.option(
        "--set-release-version", metavar="VERSION", help="Set the release of the distribution."
    ),
    click.option(
        "--set-type-attr",
        multiple=True,
        metavar="NAME=VALUE",
        help="Set an attribute of the <type>; a path in VALUE starts at the description directory.",
    ),
    click.option(
        "--signing-key",
        multiple=True,
        callback=_hidden,
        metavar="FILE",
        help="Trust this repository signing key.",
    ),
    click.option(
        "--ca-cert", multiple=True, metavar="FILE", help="Install this CA certificate in the image."
    ),
    click.option(
        "--ca-target-distribution",
        metavar="NAME",
        help="Install --ca-cert as this distribution does.",
    ),
    NETWORK,
)
_CLEAR_CACHE = click.option(
    "--clear-cache", is_flag=True, help="Read the metadata of all repositories again."
)


ALLOW_OUTDATED = click.option(
    "--allow-outdated",
    multiple=True,
    metavar="ALIAS",
    help="Use this repository even if its index has expired or is older than one seen before.",
)


def override_options(command: F) -> F:
    """Add these options to a command, which takes them as ``**overrides``."""
    for option in reversed((*_OVERRIDES, _CLEAR_CACHE, ALLOW_OUTDATED)):
        command = option(command)
    return command


def repository_options(command: F) -> F:
    """Add the options that add repositories or ignore those of the description to a command."""
    for option in reversed(_ADD_REPO):
        command = option(command)
    return command


def settings_with(options: GlobalOptions, outdated: Sequence[str]) -> Settings:
    """The settings, with these repositories among those that may be outdated."""
    settings = load_settings(cache=options.cache)
    return replace(settings, outdated_repositories=(*settings.outdated_repositories, *outdated))


def open_appliance(options: GlobalOptions, description: str, given: dict[str, Any]) -> Appliance:
    """The appliance that the options describe."""
    clear_cache = given.pop("clear_cache", False)
    outdated = given.pop("allow_outdated", ())
    appliance = Appliance(
        description,
        profiles=options.profiles,
        type=options.type,
        arch=options.arch,
        kiwi_file=options.kiwi_file,
        overrides=Overrides(**given),
        settings=settings_with(options, outdated),
    )
    if clear_cache:
        appliance.check()
        appliance = appliance.refresh()
    return appliance
