"""The options of ``prepare`` and ``build`` that say something over the description."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from kiwinb.build.appliance import Appliance
from kiwinb.cli.context import GlobalOptions
from kiwinb.description.override import REPOSITORY_FORMAT, Overrides, read_credentials
from kiwinb.settings import load_settings

F = TypeVar("F", bound=Callable[..., Any])


def _from_files(
    _context: click.Context, _option: click.Parameter, value: str | tuple[str, ...] | None
) -> str | tuple[str, ...] | None:
    """Credentials as they are given, or from the files that are named instead."""
    if value is None:
        return None
    return (
        read_credentials(value) if isinstance(value, str) else tuple(map(read_credentials, value))
    )


_ADD_REPO = (
    click.option(
        "--add-repo", multiple=True, metavar="REPO", help=f"Add a repository: {REPOSITORY_FORMAT}"
    ),
    click.option(
        "--add-repo-credentials",
        multiple=True,
        callback=_from_files,
        metavar="USER:PASSWORD",
        help="For each --add-repo; or a file that holds them.",
    ),
    click.option("--ignore-repos", is_flag=True, help="Leave out the description's repositories."),
)
_OVERRIDES = (
    click.option(
        "--set-repo", metavar="REPO", help=f"Replace the first repository: {REPOSITORY_FORMAT}"
    ),
    click.option(
        "--set-repo-credentials",
        callback=_from_files,
        metavar="USER:PASSWORD",
        help="For --set-repo; or a file.",
    ),
    *_ADD_REPO,
    click.option(
        "--ignore-repos-used-for-build",
        is_flag=True,
        help="The same, but those for the image alone.",
    ),
    click.option("--add-package", multiple=True, metavar="NAME", help="Install a package, too."),
    click.option(
        "--add-bootstrap-package", multiple=True, metavar="NAME", help="The same, at bootstrap."
    ),
    click.option("--delete-package", multiple=True, metavar="NAME", help="Delete a package."),
    click.option("--set-container-tag", metavar="TAG", help="Tag of the container."),
    click.option("--set-container-derived-from", metavar="URI", help="Container to build on."),
    click.option(
        "--add-container-label", multiple=True, metavar="NAME=VALUE", help="Label of the container."
    ),
    click.option("--set-release-version", metavar="VERSION", help="The distribution's release."),
    click.option(
        "--set-type-attr", multiple=True, metavar="NAME=VALUE", help="Attribute of the <type>."
    ),
    click.option(
        "--signing-key", multiple=True, metavar="FILE", help="Key that signs repositories."
    ),
    click.option("--ca-cert", multiple=True, metavar="FILE", help="CA certificate for the image."),
    click.option(
        "--ca-target-distribution", metavar="NAME", help="Whose trust store --ca-cert is for."
    ),
)
_CLEAR_CACHE = click.option(
    "--clear-cache", is_flag=True, help="Read the metadata of the repositories anew."
)


def override_options(command: F) -> F:
    """Give a command these options; it takes them as ``**overrides``."""
    for option in reversed((*_OVERRIDES, _CLEAR_CACHE)):
        command = option(command)
    return command


def repository_options(command: F) -> F:
    """Give a command the options that add repositories, or leave those of the description out."""
    for option in reversed(_ADD_REPO):
        command = option(command)
    return command


def open_appliance(options: GlobalOptions, description: str, given: dict[str, Any]) -> Appliance:
    """The appliance that the options mean."""
    clear_cache = given.pop("clear_cache", False)
    appliance = Appliance(
        description,
        profiles=options.profiles,
        type=options.type,
        arch=options.arch,
        kiwi_file=options.kiwi_file,
        overrides=Overrides(**given),
        settings=load_settings(cache=options.cache),
    )
    if clear_cache:
        appliance.check()
        appliance = appliance.refresh()
    return appliance
