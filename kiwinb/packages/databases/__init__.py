"""Package databases, one module for each kind, all registered here."""

from __future__ import annotations

from pathlib import Path

from kiwinb.packages.databases.database import Package, PackageDatabase, TreeFiles
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
    """List the installed packages of a root tree, sorted by name and architecture.

    The function runs no programs. The list is empty if the tree has no database of a known kind.
    """
    tree = DirectoryFiles(root)
    database = find_database(tree)
    return database.packages(tree) if database else ()
