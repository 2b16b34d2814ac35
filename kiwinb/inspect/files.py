"""List the files of a tree with their owners, packages and disk usage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

import pandas as pd

from kiwinb.errors import InspectError
from kiwinb.inspect.database import installed_in
from kiwinb.inspect.links import resolver_of
from kiwinb.inspect.remembered import PASSWD, remembered
from kiwinb.inspect.tree import Tree


def files(tree: Tree) -> pd.DataFrame:
    """List all paths of a tree, one in each row, sorted by path.

    Columns: those of :meth:`~kiwinb.inspect.tree.Tree.scan`, and ``owner`` (user name from the
    tree's own ``/etc/passwd``, or the number as text), ``package`` (the package that the path
    belongs to, or an empty string; if several packages contain a directory, an essential one or
    else the first by name) and ``usage`` (bytes as ``du`` counts them: ``allocated`` for the first
    path of each inode, and 0 for other hard links to it). If the package database cannot be read,
    ``package`` is empty; :func:`kiwinb.inspect.database.installed_in` says why.

    Raises:
        InspectError: The tree cannot be read.
    """
    tree = remembered(tree)
    table = tree.scan()
    users = _users(tree)
    numbers = table["uid"].unique()
    names = {number: users.get(int(number), str(number)) for number in numbers}
    package = _packages(tree, table)
    return table.assign(
        owner=table["uid"].map(names).astype(object),
        package=pd.Series(package, index=table.index, dtype=object),
        usage=table["allocated"].where(~table["inode"].duplicated(), 0),
    )


def _packages(tree: Tree, table: pd.DataFrame) -> list[str]:
    paths: list[str] = table["path"].tolist()
    installed = None
    with suppress(InspectError):  # whoever asks for packages is told
        installed = installed_in(tree)
    if installed is None:
        return [""] * len(paths)
    database, packages = installed.database, installed.packages
    rank = {package.label: (not package.essential, package.label) for package in packages}
    directories = resolver_of(table)
    listed = sorted(database.owned(tree, packages), key=lambda item: rank.get(item[0], (True, "")))
    owner = _owners(listed, directories)
    return [owner.get(path, "") for path in paths]


def _owners(
    listed: Iterable[tuple[str, list[str]]], directories: Mapping[str, str]
) -> dict[str, str]:
    owner: dict[str, str] = {}
    for label, paths in listed:
        for path in paths:
            directory, _, name = path.rpartition("/")
            owner.setdefault(f"{directories[directory]}/{name}", label)
    return owner


def _users(tree: Tree) -> dict[int, str]:
    """Return user names by number; like ``getpwuid``, it uses the first entry of each number."""
    found: dict[int, str] = {}
    place = tree.found([PASSWD]).get(PASSWD)
    if place is None or not tree.has_contents:
        return found
    for line in tree.read(place).decode("utf-8", "surrogateescape").split("\n"):
        name, _, rest = line.partition(":")
        number = rest.split(":")[1:2]
        if number and number[0].isdecimal():
            found.setdefault(int(number[0]), name)
    return found
