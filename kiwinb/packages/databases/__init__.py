"""Package databases: one module per kind, registered here."""

from __future__ import annotations

from pathlib import Path

from kiwinb.packages.databases.database import Package, PackageDatabase, TreeFiles
from kiwinb.packages.databases.directory import DirectoryFiles
from kiwinb.packages.databases.dpkg import Dpkg
from kiwinb.steps.registry import Registry

DATABASES: Registry[PackageDatabase] = Registry("package database", (Dpkg(),))
"""Kinds of package databases, by name."""


def find_database(tree: TreeFiles) -> PackageDatabase | None:
    """The package database of a tree; ``None`` when it has none that is known."""
    if not tree.has_contents:
        return None
    return next((found for found in DATABASES.values() if found.present(tree)), None)


def installed(root: Path) -> tuple[Package, ...]:
    """The installed packages of a root tree in a directory, sorted by name and architecture.

    Nothing is run for that; a tree without a package database that is known has none.
    """
    tree = DirectoryFiles(root)
    database = find_database(tree)
    return database.packages(tree) if database else ()
