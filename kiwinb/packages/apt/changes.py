"""Collect the newest changes of packages from their Debian changelogs."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from kiwinb.packages.databases import installed
from kiwinb.packages.databases.database import Package
from kiwinb.sandbox.paths import resolve_in


def changes(root: Path) -> str:
    """Return the name, version and newest changelog entry of each package in a tree."""
    return "".join(f"{line}\n" for package in installed(root) for line in _change(root, package))


def _change(root: Path, package: Package) -> Iterator[str]:
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
