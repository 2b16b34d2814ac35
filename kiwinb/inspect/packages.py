"""List the packages of a tree: their sizes, why they are installed, and what requires them."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from kiwinb.description.model import ImageDescription
from kiwinb.errors import InspectError
from kiwinb.inspect.database import packages_of
from kiwinb.inspect.table import Table
from kiwinb.inspect.tree import Tree
from kiwinb.packages.databases.database import Alternatives, Package, PackageDatabase
from kiwinb.spelling import near_names

COLUMNS = (
    "name",
    "version",
    "arch",
    "state",
    "installed_size",
    "section",
    "why",
    "required_by",
    "recommended_by",
    "source",
    "license",
    "vendor",
)
"""Columns of :func:`packages`."""

ESSENTIAL = "essential"
BASE = "part of the base system"
BY_NAME = "installed by name"
TOP = "no other package needs it"
LEFT_OVER = "installed for another package, but nothing here needs it"


@dataclass(frozen=True)
class Link:
    """A package that is installed because of another package.

    Attributes:
        package: The required or recommended package.
        by: The package that requires or recommends it.
        kind: ``depends`` or ``recommends``.
        provides: The required name, if ``package`` only provides it; otherwise empty.
        alternatives: All alternatives, if there is a choice; otherwise empty.
    """

    package: str
    by: str
    kind: Literal["depends", "recommends"]
    provides: str = ""
    alternatives: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{'dependency of' if self.kind == 'depends' else 'recommended by'} {self.by}"
        if self.provides:
            text += f", provides {self.provides}"
        if self.alternatives:
            text += f", one of {' | '.join(self.alternatives)}"
        return text


def packages(tree: Tree, named: Mapping[str, Iterable[str]] | None = None) -> pd.DataFrame:
    """List the packages that have files in a tree, sorted by name and architecture.

    Columns: ``name``, ``version``, ``arch``, ``state`` (how far its installation came, in the
    package manager's terms, such as ``installed`` or ``unpacked``), ``installed_size`` (bytes, as
    the package states), ``section``, ``why`` (text that says why it is installed),
    ``required_by`` and ``recommended_by`` (tuples of labels of installed packages), ``source``
    (name of the source package), ``license`` and ``vendor`` (who made it); the last three are empty
    if the database does not say.

    ``why`` is the first reason that applies: the package is named (``named in …``) or essential;
    another package depends on it, on a shortest path from such a package; it is not marked as
    automatic, and belongs to the base system or was installed by name; another package recommends
    it.

    Args:
        tree: The tree.
        named: Packages that the user asked for, by place: ``{"image": […]}``.

    Raises:
        InspectError: The tree or its package database cannot be read, or it has none.
    """
    installed = packages_of(tree)
    found = installed.packages
    links = _links(found, installed.database)
    why = _reasons(found, links, named or {})
    required = _by(links, "depends")
    recommended = _by(links, "recommends")
    table = Table(
        [
            (
                item.name,
                item.version,
                item.arch,
                item.state,
                item.installed_size or 0,
                item.section,
                str(why[item.label]),
                required.get(item.label, ()),
                recommended.get(item.label, ()),
                item.source,
                item.license,
                item.vendor,
            )
            for item in found
        ],
        columns=list(COLUMNS),
    )
    return table.astype({"installed_size": "int64"})


def named_in(image: ImageDescription) -> dict[str, tuple[str, ...]]:
    """Return the packages that a description names, by section, for :func:`packages`.

    Suffixes of names, as in ``name=1.2``, ``name/suite`` and ``name:arch``, are removed.
    """
    sections = {
        "bootstrap": image.packages.bootstrap.packages,
        "image": image.packages.image.packages,
    }
    return {
        section: tuple(re.split("[=/:]", name, maxsplit=1)[0] for name in names)
        for section, names in sections.items()
    }


def chain(
    tree: Tree, name: str, named: Mapping[str, Iterable[str]] | None = None
) -> tuple[Link | str, ...]:
    """Explain why a package is installed, by a chain of packages.

    Args:
        tree: The tree.
        name: Name of the package.
        named: As for :func:`packages`.

    Returns:
        Links from each package to the one that it is installed for, and at the end the reason why
        the last package is installed.

    Raises:
        InspectError: The package is not installed, or the tree's package database cannot be read.
    """
    installed = packages_of(tree)
    found = installed.packages
    labels = [item.label for item in found if name in (item.label, item.name)]
    if not labels:
        near = near_names(name, [item.name for item in found])
        raise InspectError(
            f"{tree.name}: the package {name} is not installed",
            remedy=f"Did you mean {near[0]}?" if near else None,
        )
    why = _reasons(found, _links(found, installed.database), named or {})
    steps = [why[labels[0]]]
    while isinstance(last := steps[-1], Link):
        steps.append(why[last.by])
    return tuple(steps)


def _links(found: Sequence[Package], database: PackageDatabase) -> tuple[Link, ...]:
    offers = _Offers(found, database)
    links: list[Link] = []
    for package in found:
        for group in package.depends:
            links += offers.links(package, group, "depends")
        for group in package.recommends:
            links += offers.links(package, group, "recommends")
    return tuple(links)


class _Offers:
    """Names of installed packages, and the names that they provide."""

    def __init__(self, found: Sequence[Package], database: PackageDatabase) -> None:
        self._meets = database.meets
        self._real: dict[str, list[Package]] = {}
        self._provided: dict[str, list[tuple[Package, str]]] = {}
        for package in found:
            self._real.setdefault(package.name, []).append(package)
            for name, version in package.provides:
                self._provided.setdefault(name, []).append((package, version))

    def links(
        self, by: Package, group: Alternatives, kind: Literal["depends", "recommends"]
    ) -> Iterator[Link]:
        """Yield a link for each installed package that meets one of the alternatives."""
        choice = tuple(item.name for item in group) if len(group) > 1 else ()
        seen = {by.label}
        for item in group:
            for package in self._real.get(item.name, ()):
                if package.label not in seen and self._meets(package.version, item):
                    seen.add(package.label)
                    yield Link(package.label, by.label, kind, "", choice)
            for package, version in self._provided.get(item.name, ()):
                if package.label not in seen and self._meets(version, item):
                    seen.add(package.label)
                    yield Link(package.label, by.label, kind, item.name, choice)


def _reasons(
    found: Sequence[Package], links: Iterable[Link], named: Mapping[str, Iterable[str]]
) -> dict[str, str | Link]:
    """Return the reason why each package is installed, by label."""
    needs: dict[str, list[Link]] = {}
    wishes: dict[str, list[Link]] = {}
    for link in links:
        (needs if link.kind == "depends" else wishes).setdefault(link.by, []).append(link)
    places: dict[str, list[str]] = {}
    for place, names in named.items():
        for name in names:
            places.setdefault(name, []).append(place)
    why: dict[str, str | Link] = {}

    def begin(reason: Callable[[Package], str]) -> None:
        """Add packages for which there is a reason, and then their dependencies."""
        new = {
            item.label: text for item in found if item.label not in why and (text := reason(item))
        }
        why.update(new)
        follow(new)

    def follow(begun: Iterable[str]) -> None:
        queue = deque(begun)
        while queue:
            for link in needs.get(queue.popleft(), ()):
                if link.package not in why:
                    why[link.package] = link
                    queue.append(link.package)

    def asked_for(item: Package) -> str:
        where = places.get(item.name) or places.get(item.label)
        if where:
            return f"named in {' and '.join(where)}"
        return ESSENTIAL if item.essential else ""

    begin(asked_for)
    begin(lambda item: BASE if item.base and not item.automatic else "")
    needed = {link.package for group in needs.values() for link in group}
    begin(lambda item: BY_NAME if item.automatic is False else "")
    begin(lambda item: TOP if item.automatic is None and item.label not in needed else "")
    pending = deque(why)
    while pending:
        for link in wishes.get(pending.popleft(), ()):
            if link.package not in why:
                before = set(why)
                why[link.package] = link
                follow([link.package])
                pending.extend(why.keys() - before)
    begin(lambda _: LEFT_OVER)
    return why


def _by(links: Iterable[Link], kind: str) -> dict[str, tuple[str, ...]]:
    names: dict[str, set[str]] = {}
    for link in links:
        if link.kind == kind:
            names.setdefault(link.package, set()).add(link.by)
    return {package: tuple(sorted(by)) for package, by in names.items()}
