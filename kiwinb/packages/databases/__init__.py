"""Package databases: one module per kind, registered here."""

from __future__ import annotations

from collections.abc import Mapping

from kiwinb.inspect.tree import Tree
from kiwinb.packages.databases.database import PackageDatabase
from kiwinb.packages.databases.dpkg import Dpkg

DATABASES: Mapping[str, PackageDatabase] = {"dpkg": Dpkg()}
"""Kinds of package databases, by name."""


def find_database(tree: Tree) -> PackageDatabase | None:
    """The package database of a tree; ``None`` when it has none that is known."""
    if not tree.has_contents:
        return None
    return next((found for found in DATABASES.values() if found.present(tree)), None)
