"""Plug-ins describe themselves, and a registry finds them by name.

Package managers, distributions, file systems, initrd tools, bootloaders, image kinds and disk
formats are plug-ins: one module each, and one line that registers it. A step refers to the plug-ins
that it works with by :class:`Used`, so that its key covers their revisions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from typing import Protocol, TypeVar

from kiwinb.errors import KiwinbError
from kiwinb.steps.keys import NOT_IN_KEY


class Plugin(Protocol):
    """The attributes that every plug-in has."""

    @property
    def name(self) -> str:
        """The name that descriptions use."""
        ...

    @property
    def revision(self) -> int:
        """A number to raise when the plug-in makes a different result from the same input.

        Only the keys of steps that work with the plug-in cover it.
        """
        ...


@dataclass(frozen=True)
class Used:
    """A reference from a step to a plug-in.

    Attributes:
        name: Its name in the registry.
        revision: Its revision; a change makes the step run again.
        module: The module that registers it; the process that runs a step imports it.
    """

    name: str
    revision: int
    module: str = field(default="", metadata=NOT_IN_KEY)


P = TypeVar("P", bound=Plugin)


class Registry(Mapping[str, P]):
    """All plug-ins of one sort, by name, in the order of their registration.

    Args:
        sort: What the plug-ins are, in the singular, for messages: ``file system``.
        plugins: The plug-ins that kiwinb brings.
        error: The error that :meth:`find` raises.
    """

    def __init__(
        self, sort: str, plugins: Iterable[P] = (), *, error: type[KiwinbError] = KiwinbError
    ) -> None:
        self.sort = sort
        self._error = error
        self._plugins: dict[str, P] = {}
        for plugin in plugins:
            self.register(plugin)

    def __getitem__(self, name: str) -> P:
        return self._plugins[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._plugins)

    def __len__(self) -> int:
        return len(self._plugins)

    def register(self, plugin: P) -> P:
        """Add a plug-in.

        Raises:
            ValueError: The registry has a plug-in of that name.
        """
        if plugin.name in self._plugins:
            raise ValueError(f"there is a {self.sort} {plugin.name} already")
        self._plugins[plugin.name] = plugin
        return plugin

    def remove(self, name: str) -> None:
        """Remove a plug-in."""
        del self._plugins[name]

    def find(self, name: str | None, what: str = "") -> P:
        """Find the plug-in that a description names.

        Args:
            name: The name; ``None`` if the description gives none.
            what: What needs the plug-in, for the message: ``the partition root``.

        Raises:
            KiwinbError: There is no such plug-in; the remedy lists the others.
        """
        if name is not None and name in self._plugins:
            return self._plugins[name]
        near = get_close_matches(name or "", list(self), n=1)
        asked = f" (for {what})" if what else ""
        raise self._error(
            f"kiwinb has no {self.sort} {name}{asked}" if name else f"no {self.sort} is named",
            remedy=f"Did you mean {near[0]}?" if near else f"There are: {', '.join(sorted(self))}.",
        )

    def use(self, name: str | None, what: str = "") -> Used:
        """A reference to the plug-in of a name; arguments and errors as for :meth:`find`."""
        plugin = self.find(name, what)
        return Used(plugin.name, plugin.revision, type(plugin).__module__)

    def get_used(self, used: Used) -> P:
        """The plug-in that a step refers to, in the process that runs the step."""
        if used.name not in self._plugins and used.module:
            import_module(used.module)
        return self._plugins[used.name]

    def where(self, holds: Callable[[P], bool]) -> tuple[str, ...]:
        """The names of the plug-ins that meet a condition."""
        return tuple(name for name, plugin in self._plugins.items() if holds(plugin))
