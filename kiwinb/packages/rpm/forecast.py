"""Forecast the packages of a tree: resolve each transaction of a build, one after another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from kiwinb.packages.databases.database import TreeFiles
from kiwinb.packages.databases.rpm import headers_of
from kiwinb.packages.databases.rpm_header import Header, Tag
from kiwinb.packages.databases.rpm_reasons import reasons
from kiwinb.packages.manager import AvailablePackage, PackageChanges, PackageRequest
from kiwinb.packages.rpm.installed import version_of
from kiwinb.packages.rpm.metadata import checked
from kiwinb.packages.rpm.resolve import Resolution, Resolver, Want
from kiwinb.packages.rpm.session import rpm_architecture

Wants = Callable[[PackageRequest], list[Want]]
KeepsReasons = Callable[[Collection[str]], bool]


def forecast(
    wants: Wants, keeps_reasons: KeepsReasons, changes: PackageChanges, base: TreeFiles | None
) -> tuple[AvailablePackage, ...]:
    """See :meth:`kiwinb.packages.manager.PackageManager.forecast`.

    Args:
        wants: Returns what a request asks for.
        keeps_reasons: Tells whether a tree of some packages says which of them only others need.
        changes: What the build does with packages.
        base: The tree to which the changes are made; ``None`` for an empty one.
    """
    request, named = changes.install, {*changes.named}
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
    stay = _not_for_others(base, headers) if base is not None else set()
    resolver = Resolver(
        checked(request.state), request.used, rpm_architecture(request.arch), headers
    )
    for asked in filter(None, (changes.bootstrap, request)):
        if not keeps_reasons(noted):
            stay |= {*noted}
        made = resolver.install(wants(asked), ignore=asked.ignore, recommended=asked.recommended)
        _note(noted, resolver, made)
        named |= made.named
    if gone := [name for name in changes.uninstall if name in noted]:
        kept = stay | named if keeps_reasons(noted) else {*noted}
        _note(noted, resolver, resolver.remove(gone, kept=kept))
    for name in changes.delete:
        noted.pop(name, None)
    return tuple(_with_reason(noted[name], named) for name in sorted(noted))


def _not_for_others(base: TreeFiles, headers: Iterable[Header]) -> set[str]:
    """Names of packages of a tree that were not installed for others, as far as it says."""
    is_automatic = reasons(base)
    return {
        header.text(Tag.NAME)
        for header in headers
        if not is_automatic(header.text(Tag.NAME), header.text(Tag.ARCH))
    }


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
