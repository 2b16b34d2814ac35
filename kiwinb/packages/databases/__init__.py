"""Package databases, one module for each kind, all registered here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kiwinb.packages.databases.database import INSTALLED, Package, PackageDatabase, TreeFiles
from kiwinb.packages.databases.directory import DirectoryFiles
from kiwinb.packages.databases.dpkg import Dpkg
from kiwinb.steps.registry import Registry

DATABASES: Registry[PackageDatabase] = Registry("package database", (Dpkg(),))
"""Kinds of package databases, by name."""


def find_database(tree: TreeFiles) -> PackageDatabase | None:
    """Find the package database of a tree; ``None`` if it has no database of a known kind."""
    if not tree.has_contents:
        return None
    return next((found for found in DATABASES.values() if found.present(tree)), None)


def installed(root: Path) -> tuple[Package, ...]:
    """List the completely installed packages of a root tree, sorted by name and architecture.

    The function runs no programs. The list is empty if the tree has no database of a known kind.

    Raises:
        InspectError: The database is damaged.
    """
    tree = DirectoryFiles(root)
    database = find_database(tree)
    found = database.packages(tree) if database else ()
    return tuple(package for package in found if package.state == INSTALLED)


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
