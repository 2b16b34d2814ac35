"""``kiwinb doctor``: report what this host lacks, and how to install it."""

from __future__ import annotations

from dataclasses import asdict

import click
from rich.table import Table
from rich.text import Text

from kiwinb.cli.context import GlobalOptions, pass_options
from kiwinb.cli.terminal import print_json, say
from kiwinb.errors import HostError
from kiwinb.settings import load_settings

_STYLES = {"ok": "green", "note": "yellow", "missing": "red"}


@click.command()
@click.option(
    "--description", type=click.Path(), metavar="DIR", help="Examine what this description needs."
)
@pass_options
def doctor(options: GlobalOptions, description: str | None) -> None:
    """Report what this host lacks to build images; exit with status 8 if builds would fail."""
    from kiwinb.checks.doctor import examine

    found = examine(
        description,
        profiles=options.profiles,
        type=options.type,
        arch=options.arch,
        kiwi_file=options.kiwi_file,
        settings=load_settings(cache=options.cache),
    )
    if options.json:
        print_json(
            {
                "ready": found.ready,
                "description": found.description,
                "findings": [asdict(item) for item in found.findings],
                "install": found.install,
                "suggest": found.suggest,
            }
        )
    elif options.output.is_terminal:
        table = Table("", "needed", "found", box=None)
        for item in found.findings:
            state = Text(item.state, style=_STYLES[item.state])
            table.add_row(state, Text(item.area), Text(item.what))
        options.output.print(table)
        for line in found.summary():
            options.output.print(line, soft_wrap=True)
    else:
        say(found)
    if not found.ready:
        areas = ", ".join(dict.fromkeys(item.area for item in found.missing))
        raise HostError(f"builds would fail on this host for want of: {areas}")
