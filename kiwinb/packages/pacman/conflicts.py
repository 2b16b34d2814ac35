"""Find packages of pacman that cannot be in a tree together."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from kiwinb.packages.alpm_versions import compare_alpm_versions
from kiwinb.packages.databases.database import met
from kiwinb.packages.databases.pacman import Sections, requirement_of


def conflicts(packages: Mapping[str, Sections], new: Collection[str]) -> list[str]:
    """Say which packages conflict, one line each.

    Args:
        packages: All packages of the tree, by name.
        new: Names of those that are to be installed; conflicts among others do not count.
    """
    provided: dict[str, list[tuple[str, str]]] = {}
    for name, sections in packages.items():
        provided.setdefault(name, []).append((name, sections["VERSION"][0]))
        for text in sections.get("PROVIDES", ()):
            item = requirement_of(text)
            provided.setdefault(item.name, []).append((name, item.version))
    found: dict[str, None] = {}
    for name, sections in packages.items():
        for text in sections.get("CONFLICTS", ()):
            unwanted = requirement_of(text)
            for other, version in provided.get(unwanted.name, ()):
                is_meant = met(compare_alpm_versions, version, unwanted)
                if other != name and is_meant and (name in new or other in new):
                    found[f"{name} conflicts with {other} ({text})"] = None
    return list(found)
