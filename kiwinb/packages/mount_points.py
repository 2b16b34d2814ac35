"""Directories of a new tree that have the kernel's file systems while packages are installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kiwinb.packages.databases.database import PackageDatabase
from kiwinb.packages.databases.directory import DirectoryFiles
from kiwinb.sandbox.paths import resolve_in


@contextmanager
def mounted_over(
    root: Path, places: Sequence[str], database: PackageDatabase, *, is_new: bool
) -> Iterator[None]:
    """Make the directories of a new tree first; at the end, give them the modes of their packages.

    Package managers cannot, since something is mounted there while they run.

    Args:
        root: The root tree.
        places: The directories.
        database: Kind of the tree's package database.
        is_new: Whether the tree had no packages; otherwise, nothing happens.
    """
    if is_new:
        for place in places:
            resolve_in(root, place).mkdir(0o755, parents=True, exist_ok=True)
    yield
    if is_new:
        tree = DirectoryFiles(root)
        for _label, files in database.stated(tree, database.packages(tree)):
            for file in files:
                if file.path in places and file.mode is not None:
                    resolve_in(root, file.path).chmod(file.mode)
