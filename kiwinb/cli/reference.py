"""The reference of the command line, from the commands themselves.

``python -m kiwinb.cli.documents`` writes ``docs/cli.md`` from it.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

import click

from kiwinb import errors
from kiwinb.cli import app
from kiwinb.errors import KiwinbError

_PROGRAM = "kiwinb"


def markdown() -> str:
    """The text of ``docs/cli.md``."""
    lines = [
        "# Command line",
        "",
        "<!-- Written by python -m kiwinb.cli.documents; change the commands instead. -->",
        "",
        "Commands and options have KIWI NG's names. Write global options before the command:",
        "`kiwinb --profile NAME --type oem system build --description DIR --target-dir DIR`.",
        "kiwinb prints results on standard output, with `--json` as JSON. It prints progress,",
        "warnings and errors on standard error; progress is shown as bars on a terminal and as",
        "plain lines elsewhere.",
        "",
        "## Global options",
        "",
        *_options(app),
        *_commands(app, _PROGRAM),
        *_statuses(),
    ]
    return "\n".join(lines)


def exit_statuses() -> dict[int, str]:
    """The meaning of each exit status of the command line."""
    own = {kind.exit_status: _first_line(kind) for kind in _kinds(KiwinbError)}
    return dict(
        sorted(
            {
                **own,
                0: "Success.",
                1: "Any other error.",
                2: "The command line is wrong, for example an option is unknown or missing, or a "
                "parameter of a recipe has another type.",
                128 + signal.SIGINT: "kiwinb was interrupted; the next run continues from there.",
            }.items()
        )
    )


def _kinds(base: type[KiwinbError]) -> Iterator[type[KiwinbError]]:
    """The error classes that have their own exit status."""
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, base) and "exit_status" in vars(kind):
            yield kind


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0]


def _commands(group: click.Group, words: str) -> Iterator[str]:
    for name, command in sorted(group.commands.items()):
        full = f"{words} {name}"
        if isinstance(command, click.Group):
            yield from _commands(command, full)
            continue
        arguments = [item for item in command.params if isinstance(item, click.Argument)]
        usage = " ".join([full, *(_argument(item) for item in arguments)])
        yield f"## `{usage}`"
        yield ""
        yield _plain(command.help or "")
        yield ""
        yield from _options(command)


def _options(command: click.Command) -> Iterator[str]:
    options = [item for item in command.params if isinstance(item, click.Option)]
    if not options:
        return
    yield "| Option | Meaning |"
    yield "|---|---|"
    for option in options:
        names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
        yield f"| {names}{_value(option)}{_marks(option)} | {_plain(option.help or '')} |"
    yield ""


def _value(option: click.Option) -> str:
    if option.is_flag:
        return ""
    if option.metavar:
        return f" *{_plain(option.metavar)}*"
    if isinstance(option.type, click.Choice):
        return f" *{_plain('|'.join(map(str, option.type.choices)))}*"
    return f" *{option.type.name.upper()}*"


def _marks(option: click.Option) -> str:
    marks = [
        word
        for word, holds in (("required", option.required), ("repeatable", option.multiple))
        if holds
    ]
    return f" ({', '.join(marks)})" if marks else ""


def _argument(argument: click.Argument) -> str:
    name = (argument.name or "").upper()
    name = f"{name}…" if argument.nargs == -1 else name
    return name if argument.required else f"[{name}]"


def _plain(text: str) -> str:
    text = re.sub(r"\s+", " ", text.replace("\b", "")).strip()
    return text.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;").replace("*", "\\*")


def _statuses() -> Iterator[str]:
    yield "## Exit statuses"
    yield ""
    yield "| Status | Meaning |"
    yield "|---|---|"
    for status, text in exit_statuses().items():
        yield f"| {status} | {_plain(text)} |"
    yield ""
