"""The global options, which stand before a command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console


@dataclass(frozen=True)
class GlobalOptions:
    """The values of the global options.

    Attributes:
        profiles: Profiles to select.
        type: Image type to build; the description's default when ``None``.
        kiwi_file: Name of the description file.
        arch: Target architecture; the host's when ``None``.
        cache: Overrides the download cache.
        verbose: Show the output of running commands.
        json: Print results as JSON.
        console: For progress and messages: standard error.
        output: For results: standard output.
    """

    profiles: tuple[str, ...]
    type: str | None
    kiwi_file: str | None
    arch: str | None
    cache: Path | None
    verbose: bool
    json: bool
    console: Console
    output: Console


pass_options = click.make_pass_decorator(GlobalOptions)
"""Passes the global options to a command as its first argument."""
