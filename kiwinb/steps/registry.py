"""Plug-ins describe themselves, and a registry finds them by name.

Package managers, distributions, file systems, initrd tools, bootloaders, image kinds and disk
formats are plug-ins: one module each, and one line that registers it. A step refers to the plug-ins
that it works with by :class:`Used`, so that its key covers their revisions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol, TypeVar

from kiwinb.errors import KiwinbError
from kiwinb.spelling import near_names
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
        module: The module that registers it, which the process that runs a step imports; empty for
            a plug-in that kiwinb brings.
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
        derived: Another registry, and what makes a plug-in of one of that registry, or ``None``:
            each file system that can be an image is an image kind, too.
        error: The error that :meth:`find` raises.
    """

    def __init__(
        self,
        sort: str,
        plugins: Iterable[P] = (),
        *,
        derived: tuple[Registry[Any], Callable[[Any], P | None]] | None = None,
        error: type[KiwinbError] = KiwinbError,
    ) -> None:
        self.sort = sort
        self._error = error
        self._derived = derived
        self._plugins: dict[str, P] = {plugin.name: plugin for plugin in plugins}
        self._added: dict[str, str] = {}  # the module that registered it, by name
        _REGISTRIES[sort] = self

    def __getitem__(self, name: str) -> P:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> Mapping[str, P]:
        if self._derived is None:
            return self._plugins
        return {**self._plugins, **self._follow(self._derived[0]), **self._plugins}

    def _follow(self, names: Iterable[str]) -> dict[str, P]:
        """The plug-ins that follow from those of the other registry, by name."""
        if self._derived is None:
            return {}
        source, derive = self._derived
        made = (derive(source[name]) for name in names)
        return {plugin.name: plugin for plugin in made if plugin is not None}

    def register(self, plugin: P) -> P:
        """Add a plug-in; call this in the module of the plug-in, at its top level.

        The processes that run steps import that module, so that they know the plug-in, too.

        Raises:
            ValueError: The registry has a plug-in of that name.
        """
        if plugin.name in self:
            raise ValueError(f"there is a {self.sort} {plugin.name} already")
        self._plugins[plugin.name] = plugin
        self._added[plugin.name] = sys._getframe(1).f_globals["__name__"]
        return plugin

    def remove(self, name: str) -> None:
        """Remove a plug-in."""
        del self._plugins[name]
        self._added.pop(name, None)

    @property
    def added(self) -> tuple[str, ...]:
        """The names of the plug-ins that kiwinb does not bring."""
        derived = self._follow(self._derived[0].added) if self._derived else {}
        return (*self._added, *(name for name in derived if name not in self._plugins))

    def find(self, name: str | None) -> P:
        """Find the plug-in that a description names.

        Args:
            name: The name; ``None`` if the description gives none.

        Raises:
            KiwinbError: There is no such plug-in; the remedy lists the others.
        """
        if name is not None and name in self:
            return self[name]
        near = near_names(name or "", list(self))
        raise self._error(
            f"kiwinb has no {self.sort} {name}" if name else f"no {self.sort} is named",
            remedy=f"Did you mean {near[0]}?" if near else f"There are: {', '.join(sorted(self))}.",
        )

    def use(self, name: str | None) -> Used:
        """A reference to the plug-in of a name; argument and errors as for :meth:`find`."""
        plugin = self.find(name)
        module = self._added.get(plugin.name, "")
        return Used(plugin.name, plugin.revision, module)

    def get_used(self, used: Used) -> P:
        """The plug-in that a step refers to, in the process that runs the step.

        Raises:
            KiwinbError: This process does not know it: the module that registers it cannot be
                imported, or registers it no longer.
        """
        if used.name not in self and used.module:
            try:
                import_module(used.module)
            except ImportError as error:
                raise self._unknown(used) from error
        if used.name not in self:
            raise self._unknown(used)
        return self[used.name]

    def _unknown(self, used: Used) -> KiwinbError:
        module = used.module or "no module"
        return self._error(
            f"the process that runs the step does not know the {self.sort} {used.name}, "
            f"which {module} registers",
            remedy="Register it at the top level of a module that can be imported: a file in a "
            "directory of sys.path, not a cell of a notebook.",
        )

    def where(self, holds: Callable[[P], bool]) -> tuple[str, ...]:
        """The names of the plug-ins that meet a condition."""
        return tuple(name for name, plugin in self.items() if holds(plugin))


_REGISTRIES: dict[str, Registry[Any]] = {}


def added_names(sort: str) -> tuple[str, ...]:
    """The names of the registered plug-ins of a sort that kiwinb does not bring.

    Args:
        sort: As :class:`Registry` has it: ``file system``.
    """
    registry = _REGISTRIES.get(sort)
    return registry.added if registry is not None else ()
