"""``kiwinb result``: list and bundle the result files of a build."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from kiwinb.cli.context import GlobalOptions, pass_options
from kiwinb.cli.terminal import emit, print_json, say_each
from kiwinb.results.bundle import bundle as make_bundle
from kiwinb.results.record import list_results
from kiwinb.settings import load_settings
from kiwinb.sizes import binary

TARGET_DIR = click.option(
    "--target-dir",
    required=True,
    type=click.Path(path_type=Path),
    help="Directory of the result files.",
)


@click.group()
def result() -> None:
    """List and bundle the result files of a build."""


@result.command("list")
@TARGET_DIR
@pass_options
def list_(options: GlobalOptions, target_dir: Path) -> None:
    """List the result files of a build."""
    found = list_results(target_dir)
    if options.json:
        print_json([asdict(file) for file in found.files])
        return
    for file in found.files:
        say_each(f"{file.tag}: {found.directory / file.filename} ({binary(file.size)})")


@result.command()
@TARGET_DIR
@click.option(
    "--bundle-dir",
    required=True,
    type=click.Path(path_type=Path),
    help="Directory for the bundle; kiwinb creates it if it does not exist.",
)
@click.option(
    "--id", "bundle_id", required=True, help="Identifier that becomes part of each file name."
)
@click.option("--bundle-format", help="Pattern for file names, made of %N %P %A %I %T %M %m %p %v.")
@click.option("--zsync-source", metavar="URL", help="Write .zsync files that refer to this URL.")
@click.option("--package-as-rpm", is_flag=True, help="Pack the bundle as an RPM package.")
@click.option("--no-compress", is_flag=True, help="Do not compress large files.")
@pass_options
def bundle(
    options: GlobalOptions,
    target_dir: Path,
    bundle_dir: Path,
    bundle_id: str,
    bundle_format: str | None,
    zsync_source: str | None,
    package_as_rpm: bool,
    no_compress: bool,
) -> None:
    """Copy the result files to names that identify the build."""
    files = make_bundle(
        target_dir,
        bundle_dir,
        bundle_id,
        compress=load_settings().compress_bundles and not no_compress,
        bundle_format=bundle_format,
        zsync_source=zsync_source,
        package_as_rpm=package_as_rpm,
    )
    if options.json:
        print_json(files)
        return
    for file in files:
        emit(file)
