"""Plug-ins describe themselves, and a registry finds them by name.

Package managers, distributions, file systems, initrd tools, bootloaders, image kinds and disk
formats are plug-ins: one module each, and one line that registers it. A step names the plug-ins
that it works with by :class:`Used`, so that their revisions are in its key.
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
    """What every plug-in says of itself."""

    @property
    def name(self) -> str:
        """What a description calls it."""
        ...

    @property
    def revision(self) -> int:
        """Raised when the plug-in makes something else of the same input.

        It is in the keys of all steps that work with the plug-in, and of no others.
        """
        ...


@dataclass(frozen=True)
class Used:
    """A plug-in as a step names it.

    Attributes:
        name: Its name in the registry.
        revision: Its revision; a change makes the step run again.
        module: The module that registers it, so that the process of a step finds it as well.
    """

    name: str
    revision: int
    module: str = field(default="", metadata=NOT_IN_KEY)


P = TypeVar("P", bound=Plugin)


class Registry(Mapping[str, P]):
    """All plug-ins of one sort, by name, in the order of their registration.

    Args:
        sort: What they are, in the singular, for messages: ``file system``.
        plugins: The plug-ins that kiwinb brings.
        error: Raised by :meth:`find`.
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
            ValueError: There is one of that name.
        """
        if plugin.name in self._plugins:
            raise ValueError(f"there is a {self.sort} {plugin.name} already")
        self._plugins[plugin.name] = plugin
        return plugin

    def remove(self, name: str) -> None:
        """Take a plug-in out again."""
        del self._plugins[name]

    def find(self, name: str | None, what: str = "") -> P:
        """The plug-in of a name that a description gives.

        Args:
            name: The name; ``None`` when the description has none.
            what: What asks for it, for the message: ``the partition root``.

        Raises:
            KiwinbError: There is none; the remedy names those there are.
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
        """How a step names the plug-in of a name; arguments and errors as for :meth:`find`."""
        plugin = self.find(name, what)
        return Used(plugin.name, plugin.revision, type(plugin).__module__)

    def get_used(self, used: Used) -> P:
        """The plug-in that a step names, in the process that runs the step."""
        if used.name not in self._plugins and used.module:
            import_module(used.module)
        return self._plugins[used.name]

    def where(self, holds: Callable[[P], bool]) -> tuple[str, ...]:
        """The names of the plug-ins of which something holds."""
        return tuple(name for name, plugin in self._plugins.items() if holds(plugin))
