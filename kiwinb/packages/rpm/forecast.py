"""Forecast the packages of a tree: resolve each transaction of a build, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from kiwinb.packages.databases.database import TreeFiles
from kiwinb.packages.databases.rpm import headers_of
from kiwinb.packages.databases.rpm_header import Tag
from kiwinb.packages.manager import AvailablePackage, PackageChanges, PackageRequest
from kiwinb.packages.rpm.installed import version_of
from kiwinb.packages.rpm.metadata import checked
from kiwinb.packages.rpm.resolve import Resolution, Resolver, Want
from kiwinb.packages.rpm.session import rpm_architecture

Wants = Callable[[PackageRequest], list[Want]]


def forecast(
    wants: Wants, changes: PackageChanges, base: TreeFiles | None
) -> tuple[AvailablePackage, ...]:
    """See :meth:`kiwinb.packages.manager.PackageManager.forecast`.

    Args:
        wants: Returns what a request asks for.
        changes: What the build does with packages.
        base: The tree to which the changes are made; ``None`` for an empty one.
    """
    request = changes.install
    headers = [*headers_of(base).values()] if base is not None else []
    noted = {
        header.text(Tag.NAME): AvailablePackage(
            header.text(Tag.NAME),
            version_of(header),
            header.text(Tag.ARCH),
            0,
            installed_size=header.number(Tag.SIZE) or 0,
            why="base container",
        )
        for header in headers
    }
    resolver = Resolver(
        checked(request.state), request.used, rpm_architecture(request.arch), headers
    )
    for asked in filter(None, (changes.bootstrap, request)):
        made = resolver.install(wants(asked), ignore=asked.ignore, recommended=asked.recommended)
        _note(noted, resolver, made)
    if gone := [name for name in changes.uninstall if name in noted]:
        _note(noted, resolver, resolver.remove(gone))
    for name in changes.delete:
        noted.pop(name, None)
    named = set(changes.named)
    return tuple(_with_reason(noted[name], named) for name in sorted(noted))


def _note(noted: dict[str, AvailablePackage], resolver: Resolver, made: Resolution) -> None:
    for name in made.removed:
        noted.pop(name, None)
    for item in made.new:
        noted[item.name] = AvailablePackage(
            item.name,
            item.version,
            item.arch,
            item.size,
            item.digest or "",
            item.installed_size,
            "named" if item.named else "dependency",
        )
    resolver.note(made)


def _with_reason(item: AvailablePackage, named: Iterable[str]) -> AvailablePackage:
    return replace(item, why="named") if item.name in named else item
