"""The dpkg database of a root tree, read without running anything."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from kiwinb.packages.deb822 import paragraphs
from kiwinb.packages.manager import InstalledPackage
from kiwinb.sandbox.paths import resolve_in

STATUS = "/var/lib/dpkg/status"


def installed(root: Path) -> tuple[InstalledPackage, ...]:
    """The installed packages of a tree, sorted by name and architecture."""
    file = resolve_in(root, STATUS)
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    found = (
        _package(fields)
        for fields in paragraphs(text)
        if fields.get("status", "").split()[-1:] == ["installed"]
    )
    return tuple(sorted(found, key=lambda package: (package.name, package.arch)))


def _package(fields: dict[str, str]) -> InstalledPackage:
    name, version = fields["package"], fields["version"]
    source, _, source_version = fields.get("source", name).partition(" ")
    return InstalledPackage(
        name=name,
        version=version,
        arch=fields.get("architecture", ""),
        installed_size=1024 * int(fields.get("installed-size", "0")),
        section=fields.get("section", ""),
        summary=fields.get("description", "").partition("\n")[0],
        source=source,
        source_version=source_version.strip("()") or version,
    )


def changes(root: Path) -> str:
    """For each package its name and version, and the newest entry of its Debian changelog."""
    return "".join(f"{line}\n" for package in installed(root) for line in _change(root, package))


def _change(root: Path, package: InstalledPackage) -> Iterator[str]:
    yield f"{package.name} {package.version} ({package.arch})"
    for name in ("changelog.Debian.gz", "changelog.gz", f"changelog.Debian.{package.arch}.gz"):
        file = resolve_in(root, f"/usr/share/doc/{package.name}/{name}")
        if file.is_file():
            with gzip.open(file, "rt", encoding="utf-8", errors="replace") as changelog:
                lines = iter(changelog)
                entry = [next(lines, ""), *takewhile(_is_in_entry, lines)]
            yield from (f"  {line.rstrip()}" for line in entry if line.strip())
            return


def _is_in_entry(line: str) -> bool:
    return not line.strip() or line.startswith(" ")
