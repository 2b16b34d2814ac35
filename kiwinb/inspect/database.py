"""Read the package database of a tree, or say why that is not possible."""

from __future__ import annotations

from dataclasses import dataclass

from kiwinb.errors import InspectError
from kiwinb.inspect.tree import Tree
from kiwinb.packages.databases import DATABASES, read_database
from kiwinb.packages.databases.database import Package, PackageDatabase
from kiwinb.packages.databases.foreign import find_foreign

_FILES = "Its files and their sizes can be shown: kiwinb inspect files, kiwinb inspect breakdown."


@dataclass(frozen=True)
class Installed:
    """The package database of a tree, and the packages in it."""

    database: PackageDatabase
    packages: tuple[Package, ...]


def installed_in(tree: Tree) -> Installed | None:
    """Read the package database of a tree; ``None`` if the tree has none, and so no packages.

    Raises:
        InspectError: The tree is a mere list of files, or its database is damaged or of a kind that
            kiwinb cannot read.
    """
    if not tree.has_contents:
        raise InspectError(
            f"packages of {tree.name} cannot be read: a list of files has none", remedy=_FILES
        )
    try:
        found = read_database(tree)
    except InspectError as error:
        raise InspectError(
            f"packages of {tree.name} cannot be read: {error.problem}", remedy=error.remedy
        ) from error
    # A system can have the empty database of another package manager that is installed there.
    if not (found and found[1]) and (foreign := find_foreign(tree)):
        manager, path = foreign
        raise InspectError(
            f"packages of {tree.name} cannot be read: {path} is a database of {manager}",
            remedy=f"kiwinb reads databases of {', '.join(DATABASES)}. {_FILES}",
        )
    return Installed(*found) if found else None


def packages_of(tree: Tree) -> Installed:
    """Read the package database of a tree, which has to have one.

    Raises:
        InspectError: As for :func:`installed_in`; or the tree has no database.
    """
    found = installed_in(tree)
    if found is None:
        raise InspectError(
            f"packages of {tree.name} cannot be read: there is no package database", remedy=_FILES
        )
    return found
