"""Forecast the packages of a tree: resolve each transaction of a build, one after another."""

from __future__ import annotations

import tempfile
from pathlib import Path

from kiwinb.packages.databases.database import TreeFiles
from kiwinb.packages.manager import AvailablePackage, PackageChanges
from kiwinb.packages.pacman.request import targets
from kiwinb.packages.pacman.resolve import Chosen, Resolver


def forecast(changes: PackageChanges, base: TreeFiles | None) -> tuple[AvailablePackage, ...]:
    """See :meth:`kiwinb.packages.manager.PackageManager.forecast`.

    Args:
        changes: What the build does with packages.
        base: The tree to which the changes are made; ``None`` for an empty one.
    """
    with tempfile.TemporaryDirectory() as work:
        resolver = Resolver(Path(work), changes.install, base)
        made: dict[str, Chosen] = {}
        for request in filter(None, (changes.bootstrap, changes.install)):
            wanted = targets(request)
            chosen = resolver.install(wanted, request.ignore)
            resolver.note(chosen, wanted)
            made |= {item.name: item for item in chosen}
        if gone := [name for name in changes.uninstall if name in resolver.noted]:
            resolver.remove(gone)
        resolver.drop(changes.delete)
        named = {*changes.named}
        return tuple(_available(resolver, name, made, named) for name in sorted(resolver.noted))


def _available(
    resolver: Resolver, name: str, made: dict[str, Chosen], named: set[str]
) -> AvailablePackage:
    sections = resolver.noted[name]

    def one(section: str) -> str:
        return next(iter(sections.get(section, ())), "")

    item = made.get(name)
    why = "base container" if item is None else "dependency" if one("REASON") else "named"
    size = one("SIZE")
    return AvailablePackage(
        name,
        one("VERSION"),
        one("ARCH"),
        0 if item is None else item.listed.size,
        "" if item is None else item.listed.digest,
        int(size) if size.isdecimal() and len(size) < 19 else 0,
        "named" if name in named else why,
    )
