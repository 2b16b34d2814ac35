"""``kiwinb description`` and ``kiwinb image info``: what a description says."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

import click

from kiwinb.cli.context import GlobalOptions, pass_options
from kiwinb.cli.terminal import print_json
from kiwinb.description.document import Document, read
from kiwinb.description.model import ImageDescription
from kiwinb.description.select import effective, select
from kiwinb.description.show import diff, to_xml, to_yaml
from kiwinb.description.xml import read_xml

Form = Literal["xml", "yaml", "diff"]


@click.group()
def description() -> None:
    """Look at an image description."""


@description.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--xml", "form", flag_value="xml", default="xml", help="As XML (the default).")
@click.option("--yaml", "form", flag_value="yaml", help="As YAML.")
@click.option("--diff", "form", flag_value="diff", help="What differs from the file.")
@pass_options
def show(options: GlobalOptions, path: Path, form: Form) -> None:
    """Print the effective description in PATH for the selected profiles and type."""
    document, _image = _read(options, path)
    for change in document.changes:
        options.console.print(f"{change.location}: {change.text}", markup=False, highlight=False)
    tree = effective(document, profiles=options.profiles, type=options.type, arch=options.arch)
    if form == "diff":
        click.echo(diff(read_xml(document.file), tree), nl=False)
    else:
        click.echo((to_yaml if form == "yaml" else to_xml)(tree), nl=False)


@click.group()
def image() -> None:
    """Look at the image that a description means."""


@image.command()
@click.option("--description", "path", required=True, type=click.Path(path_type=Path))
@click.option("--list-profiles", is_flag=True, help="List the profiles.")
@click.option("--print-kiwi-env", is_flag=True, help="Print the variables that scripts see.")
@click.option("--print-xml", is_flag=True, help="Print the effective description as XML.")
@click.option("--print-yaml", is_flag=True, help="The same as YAML.")
@pass_options
def info(
    options: GlobalOptions,
    path: Path,
    list_profiles: bool,
    print_kiwi_env: bool,
    print_xml: bool,
    print_yaml: bool,
) -> None:
    """Say what a description is about."""
    document, image = _read(options, path)
    tree = effective(document, profiles=options.profiles, type=options.type, arch=options.arch)
    if print_xml:
        click.echo(to_xml(tree), nl=False)
    elif print_yaml:
        click.echo(to_yaml(tree), nl=False)
    elif print_kiwi_env:
        from kiwinb.prepare.profile import profile_text, profile_variables

        click.echo(profile_text(profile_variables(image)), nl=False)
    elif list_profiles:
        if options.json:
            print_json([asdict(profile) for profile in image.all_profiles])
        for profile in () if options.json else image.all_profiles:
            mark = "*" if profile.name in image.profiles else " "
            click.echo(f"{mark} {profile.name}: {profile.description}")
    elif options.json:
        print_json(asdict(image))
    else:
        _print_facts(image)


def _print_facts(image: ImageDescription) -> None:
    facts = {
        "name": image.name,
        "version": image.version,
        "architecture": image.arch,
        "type": image.type.image,
        "profiles": ", ".join(image.profiles),
        "package manager": image.preferences.packagemanager,
        "repositories": ", ".join(item.alias or item.path for item in image.repositories),
        "packages": len(image.packages.bootstrap.packages) + len(image.packages.image.packages),
        "result files": f"{image.result_name}.*",
    }
    for name, value in facts.items():
        click.echo(f"{name}: {value}")


def _read(options: GlobalOptions, path: Path) -> tuple[Document, ImageDescription]:
    document = read(path, kiwi_file=options.kiwi_file)
    image = select(document, profiles=options.profiles, type=options.type, arch=options.arch)
    return document, image
