"""``kiwinb description``: show what a description says."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

import click

from kiwinb.cli.context import GlobalOptions, pass_options
from kiwinb.cli.terminal import emit, print_json
from kiwinb.description.document import Document, read
from kiwinb.description.model import ImageDescription
from kiwinb.description.secrets import without_secrets
from kiwinb.description.select import effective, select
from kiwinb.description.show import diff, to_data, to_toml, to_xml, to_yaml
from kiwinb.description.xml import read_xml

Form = Literal["xml", "yaml", "toml", "diff"]


@click.group()
def description() -> None:
    """Show an image description."""


@description.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--xml", "form", flag_value="xml", default="xml", help="Print XML (the default).")
@click.option("--yaml", "form", flag_value="yaml", help="Print YAML.")
@click.option("--toml", "form", flag_value="toml", help="Print TOML.")
@click.option("--diff", "form", flag_value="diff", help="Print the difference to the file.")
@pass_options
def show(options: GlobalOptions, path: Path, form: Form) -> None:
    """Print the effective description in PATH for the selected profiles and type."""
    document, _image = read_selected(options, path)
    tree = without_secrets(
        effective(document, profiles=options.profiles, type=options.type, arch=options.arch)
    )
    if options.json:
        changes = [asdict(change) for change in document.changes]
        print_json({"description": to_data(tree), "changes": changes})
        return
    for change in document.changes:
        options.console.print(f"{change.location}: {change.text}")
    if form == "diff":
        emit(diff(without_secrets(read_xml(document.file)), tree), end="")
    else:
        write = {"xml": to_xml, "yaml": to_yaml, "toml": to_toml}[form]
        emit(write(tree), end="")


def read_selected(options: GlobalOptions, path: Path) -> tuple[Document, ImageDescription]:
    """The description, and what the global options select from it."""
    document = read(path, kiwi_file=options.kiwi_file)
    image = select(document, profiles=options.profiles, type=options.type, arch=options.arch)
    return document, image
