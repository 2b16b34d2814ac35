"""Package databases, one module for each kind, all registered here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kiwinb.packages.databases.apk import Apk
from kiwinb.packages.databases.database import INSTALLED, Package, PackageDatabase, TreeFiles
from kiwinb.packages.databases.directory import DirectoryFiles
from kiwinb.packages.databases.dpkg import Dpkg
from kiwinb.packages.databases.pacman import Pacman
from kiwinb.packages.databases.rpm import Rpm
from kiwinb.steps.registry import Registry

DATABASES: Registry[PackageDatabase] = Registry(
    "package database", (Dpkg(), Rpm(), Pacman(), Apk())
)
"""Kinds of package databases, by name."""


def find_database(tree: TreeFiles) -> PackageDatabase | None:
    """Find the package database of a tree; ``None`` if it has no database of a known kind.

    See :func:`read_database`.
    """
    found = read_database(tree)
    return found[0] if found else None


def read_database(tree: TreeFiles) -> tuple[PackageDatabase, tuple[Package, ...]] | None:
    """Find the package database of a tree, and list its packages.

    A system can have the empty database of another package manager that is installed there, so the
    first database with packages counts, and else the first one. ``None`` stands for a tree that
    has no database of a known kind.

    Raises:
        InspectError: A database is damaged.
    """
    if not tree.has_contents:
        return None
    empty: PackageDatabase | None = None
    for database in DATABASES.values():
        if not database.present(tree):
            continue
        if packages := database.packages(tree):
            return database, packages
        empty = empty or database
    return (empty, ()) if empty else None


def installed(root: Path) -> tuple[Package, ...]:
    """List the completely installed packages of a root tree, sorted by name and architecture.

    The function runs no programs. The list is empty if the tree has no database of a known kind.

    Raises:
        InspectError: The database is damaged.
    """
    found = read_database(DirectoryFiles(root))
    return tuple(package for package in found[1] if package.state == INSTALLED) if found else ()


def nominal(tree: TreeFiles) -> Callable[[str], str]:
    """Return a function that names paths of databases as their package managers do.

    The function returns all other paths unchanged. The difference matters where the directory of a
    database is a symbolic link.
    """
    homes = [home for database in DATABASES.values() for home in database.homes]
    moved = {real: home for home in homes if (real := tree.resolved(home)) not in (home, "/")}

    def name(path: str) -> str:
        for real, home in moved.items():
            if path == real or path.startswith(f"{real}/"):
                return home + path[len(real) :]
        return path

    return name
