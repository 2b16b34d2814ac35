"""Read the groups of packages in the metadata of a repository: ``comps.xml``.

Source of the format: ``comps.rng`` of Fedora's comps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lxml import etree

from kiwinb.errors import PackageError
from kiwinb.packages.indexed import directory_of
from kiwinb.packages.rpm.resolve import Want
from kiwinb.spelling import with_near

_INSTALLED = ("mandatory", "default", "conditional")
"""Kinds of packages of a group that dnf installs; conditional ones if what they need is there."""


def group_wants(state: Path, count: int, collections: Sequence[str]) -> list[Want]:
    """Return the packages of groups, each of which the repositories may lack.

    Args:
        state: Directory of the state of the repositories.
        count: Number of the repositories.
        collections: Identifiers or names of groups, or of environments of groups.

    Raises:
        PackageError: There is no such group.
    """
    if not collections:
        return []
    roots = [
        _parsed(directory_of(state, number) / "group")
        for number in range(count)
        if (directory_of(state, number) / "group").exists()
    ]
    wants, missing = [], []
    for collection in collections:
        name = collection.removeprefix("@").removeprefix("^")
        groups = [*_groups(roots, name)]
        wants += [Want(package, optional=True) for group in groups for package in _packages(group)]
        if not groups:
            missing.append(name)
    if missing:
        known = [item.text or "" for root in roots for item in root.iterfind("group/id")]
        raise _no_group(missing, known)
    return wants


def _parsed(file: Path) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True)
    try:
        return etree.parse(file, parser).getroot()
    except etree.XMLSyntaxError as error:
        raise PackageError(f"the groups of a repository are damaged: {error.msg}") from None


def _groups(roots: Sequence[etree._Element], name: str) -> Iterator[etree._Element]:
    for root in roots:
        for group in root.findall("group"):
            if _is_called(group, name):
                yield group
        for environment in root.findall("environment"):
            if _is_called(environment, name):
                for part in environment.iterfind("grouplist/groupid"):
                    yield from _groups(roots, (part.text or "").strip())


def _is_called(element: etree._Element, name: str) -> bool:
    names = (element.findtext("id"), element.findtext("name"))
    return any(text is not None and text.strip().lower() == name.lower() for text in names)


def _packages(group: etree._Element) -> Iterator[str]:
    for item in group.iterfind("packagelist/packagereq"):
        if item.get("type", "mandatory") in _INSTALLED[:2] and item.text:
            yield item.text.strip()


def _no_group(missing: Sequence[str], known: Sequence[str]) -> PackageError:
    said = [with_near(name, known) for name in missing]
    return PackageError(
        "the repositories have no group of packages of these names:\n" + "\n".join(said),
        remedy="Correct the names of <namedCollection>, or add the repository that has them.",
    )
