"""Commands that are imported when they run; help and completion need only their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module

import click


class LazyCommands(MutableMapping[str, click.Command]):
    """Commands by name.

    Args:
        places: By the name of a command, ``module:attribute`` in ``kiwinb.cli`` and its line in the
            help.
    """

    def __init__(self, places: Mapping[str, tuple[str, str]]) -> None:
        self._places = dict(places)
        self._added: dict[str, click.Command] = {}

    def help_of(self, name: str) -> str:
        """The line of a command in the help."""
        if name in self._added:
            return self._added[name].get_short_help_str()
        return self._places[name][1]

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._added:
            module, _, attribute = self._places[name][0].partition(":")
            found = getattr(import_module(f"kiwinb.cli.{module}"), attribute)
            assert isinstance(found, click.Command)
            self._added[name] = found
        return self._added[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._added[name] = command

    def __delitem__(self, name: str) -> None:
        self._added.pop(name, None)
        self._places.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter({**self._places, **self._added})

    def __len__(self) -> int:
        return len(self._places.keys() | self._added.keys())


class LazyGroup(click.Group):
    """A group that lists its commands without importing them."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        commands = self.commands
        assert isinstance(commands, LazyCommands)
        with formatter.section("Commands"):
            formatter.write_dl([(name, commands.help_of(name)) for name in sorted(commands)])
