"""``kiwinb system``: prepare root trees, create images, build, update."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kiwinb.build.image import Image
from kiwinb.build.root_tree import open_root
from kiwinb.cli.build_options import (
    ALLOW_OUTDATED,
    NETWORK,
    open_appliance,
    override_options,
    settings_with,
)
from kiwinb.cli.context import GlobalOptions, pass_options
from kiwinb.cli.terminal import emit, print_json, step_progress
from kiwinb.description.override import Overrides
from kiwinb.settings import load_settings

DESCRIPTION = click.option(
    "--description",
    required=True,
    type=click.Path(),
    help="The description directory, or the description file.",
)
TARGET_DIR = click.option(
    "--target-dir",
    required=True,
    type=click.Path(path_type=Path),
    help="Directory for the result files.",
)


@click.group()
def system() -> None:
    """Prepare root trees and create images."""


@system.command()
@DESCRIPTION
@click.option(
    "--root", required=True, type=click.Path(path_type=Path), help="Directory for the root tree."
)
@click.option("--allow-existing-root", is_flag=True, help="Replace an existing root tree.")
@override_options
@pass_options
def prepare(
    options: GlobalOptions,
    /,
    description: str,
    root: Path,
    allow_existing_root: bool,
    **overrides: Any,
) -> None:
    """Prepare a root tree from a description."""
    appliance = open_appliance(options, description, overrides)
    appliance.check(root)
    with step_progress(options.console, verbose=options.verbose) as observer:
        tree = appliance.observed_by(observer).prepare()
        path = tree.export(root, replace=allow_existing_root)
    if options.json:
        print_json({"root": path, "key": tree.step.key})
    else:
        emit(path)


@system.command()
@click.option(
    "--root",
    required=True,
    type=click.Path(path_type=Path),
    help="The root tree that `kiwinb system prepare` wrote.",
)
@TARGET_DIR
@click.option(
    "--signing-key", multiple=True, metavar="FILE", help="Trust this repository signing key."
)
@NETWORK
@pass_options
def create(
    options: GlobalOptions,
    root: Path,
    target_dir: Path,
    signing_key: tuple[str, ...],
    network: tuple[str, ...],
) -> None:
    """Create an image from a root tree."""
    given = Overrides(signing_key=signing_key, network=network)
    with step_progress(options.console, verbose=options.verbose) as observer:
        tree = open_root(
            root,
            overrides=given if given != Overrides() else None,
            settings=load_settings(cache=options.cache),
            observer=observer,
        )
        image = tree.create(target_dir)
    _show(options, image)


@system.command()
@DESCRIPTION
@TARGET_DIR
@click.option(
    "--allow-existing-root",
    is_flag=True,
    expose_value=False,
    help="Has no effect: kiwinb always resumes an earlier build.",
)
@override_options
@pass_options
def build(
    options: GlobalOptions,
    /,
    description: str,
    target_dir: Path,
    **overrides: Any,
) -> None:
    """Build an image: prepare a root tree and create an image from it."""
    appliance = open_appliance(options, description, overrides)
    appliance.check(target_dir)
    with step_progress(options.console, verbose=options.verbose) as observer:
        image = appliance.observed_by(observer).build(target_dir)
    _show(options, image)


@system.command()
@click.option(
    "--root",
    required=True,
    type=click.Path(path_type=Path),
    help="The root tree that `kiwinb system prepare` wrote.",
)
@click.option("--add-package", multiple=True, metavar="NAME", help="Install a package.")
@click.option("--delete-package", multiple=True, metavar="NAME", help="Remove a package.")
@ALLOW_OUTDATED
@pass_options
def update(
    options: GlobalOptions,
    root: Path,
    add_package: tuple[str, ...],
    delete_package: tuple[str, ...],
    allow_outdated: tuple[str, ...],
) -> None:
    """Add or remove packages in a root tree; without options, upgrade all packages."""
    from kiwinb.build.update import update_root

    with step_progress(options.console, verbose=options.verbose) as observer:
        path = update_root(
            root,
            add=add_package,
            delete=delete_package,
            settings=settings_with(options, allow_outdated),
            observer=observer,
        )
    if options.json:
        print_json({"root": path})
    else:
        emit(path)


def _show(options: GlobalOptions, image: Image) -> None:
    if options.json:
        print_json({"image": image.path, "files": image.result.paths()})
        return
    for path in image.result.paths().values():
        emit(path)
