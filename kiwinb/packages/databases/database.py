"""What every package database of a root tree offers; each kind is one module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kiwinb.inspect.tree import Tree


@dataclass(frozen=True)
class Requirement:
    """What a package needs: another one, or something that another one provides.

    Attributes:
        name: Of the package or of what is provided.
        operator: ``<<``, ``<=``, ``=``, ``>=`` or ``>>``; empty when any version will do.
        version: That the operator compares with.
    """

    name: str
    operator: str = ""
    version: str = ""


Alternatives = tuple[Requirement, ...]
"""Requirements any of which is enough, the preferred one first."""


@dataclass(frozen=True)
class Package:
    """An installed package.

    Attributes:
        name: Its name.
        version: As its package manager prints it.
        arch: Architecture in the package manager's terms.
        label: What tells it from all others: its name, with the architecture where it is
            installed for several.
        installed_size: In bytes, as the package says; ``None`` when not known.
        section: Section or group.
        essential: No system of the kind is without it.
        base: The distribution counts it among its base system.
        automatic: It was installed because another package needs it; ``None`` when not known.
        depends: What it needs.
        recommends: What it is installed with as a rule.
        provides: What it stands in for, with the version where there is one.
    """

    name: str
    version: str
    arch: str
    label: str
    installed_size: int | None
    section: str = ""
    essential: bool = False
    base: bool = False
    automatic: bool | None = None
    depends: tuple[Alternatives, ...] = ()
    recommends: tuple[Alternatives, ...] = ()
    provides: tuple[tuple[str, str], ...] = ()


class PackageDatabase(Protocol):
    """One kind of package database; registered in ``kiwinb.packages.databases``.

    Attributes:
        name: Its name.
        own_files: Regular expressions of paths that the package manager itself keeps, with what
            they are.
        kept_in: Regular expression of the paths that are read to answer.
    """

    name: str
    kept_in: str
    own_files: Mapping[str, str]

    def present(self, tree: Tree) -> bool:
        """Whether the tree has a database of this kind."""
        ...

    def packages(self, tree: Tree) -> tuple[Package, ...]:
        """The installed packages, sorted by name and architecture."""
        ...

    def owned(self, tree: Tree, packages: Sequence[Package]) -> Iterator[tuple[str, list[str]]]:
        """The label of each package, and the paths that the database lists for it.

        They are absolute and as the package names them: a directory on the way may be a symbolic
        link in the tree.
        """
        ...

    def scripts(self, tree: Tree, packages: Sequence[Package]) -> Mapping[str, str]:
        """The text of the scripts that packages ran, by what to call each."""
        ...

    def compare(self, a: str, b: str) -> int:
        """Compare two versions: negative, 0 or positive when ``a`` is earlier, equal or later."""
        ...
