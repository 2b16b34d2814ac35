"""Select one image of a description, by profiles, architecture and type.

The rules are KIWI NG's. A section without ``profiles`` is part of every image; a section with
``profiles`` is part of an image that selects one of them. ``arch`` limits a section or an item to
architectures. If several sections set the same value, the first one decides, whatever its
profiles; the last one decides on locale, keytable, time zone and themes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence

from lxml import etree

from kiwinb.description.choose import Choice, choice_of, choose, is_selected
from kiwinb.description.document import Document
from kiwinb.description.model import (
    Certificates,
    ImageDescription,
)
from kiwinb.description.sections import (
    read_container,
    read_information,
    read_packages,
    read_preferences,
    read_profile,
    read_repository,
    read_strip,
    read_type,
    read_users,
)
from kiwinb.description.values import arch_matches, names_of, split_names, unique

Element = etree._Element
Tree = etree._ElementTree


PHASES = ("bootstrap", "image", "delete", "uninstall", "systemfiles")
"""Values of ``<packages type=…>`` that name a phase; the others name an image type."""


def select(
    document: Document,
    *,
    profiles: Sequence[str] = (),
    type: str | None = None,
    arch: str | None = None,
) -> ImageDescription:
    """The image that a description defines for some profiles, an architecture and a type.

    Args:
        document: A valid description.
        profiles: Names of profiles; by default those with ``import="true"``.
        type: An ``image`` attribute; by default that of the primary type, or else of the first one.
        arch: As ``uname -m`` prints it; by default that of this host.

    Raises:
        DescriptionError: There is no such profile or type, or the profiles conflict.
    """
    image = document.tree.getroot()
    choice = choose(image, profiles, type, arch)
    build_type = read_type(choice.type, choice.arch)
    preferences = read_preferences(choice.sections(image, "preferences"))
    return ImageDescription(
        name=image.get("name", ""),
        displayname=image.get("displayname"),
        id=image.get("id"),
        schemaversion=image.get("schemaversion", "8.5"),
        directory=document.directory,
        file=document.file,
        arch=choice.arch,
        profiles=choice.profiles,
        all_profiles=tuple(read_profile(profile) for profile in image.iterfind("profiles/profile")),
        information=read_information(image.find("description")),
        preferences=preferences,
        type=build_type,
        users=read_users(choice.sections(image, "users")),
        repositories=tuple(
            read_repository(section, choice.arch)
            for section in choice.sections(image, "repository")
        ),
        packages=read_packages(
            list(choice.sections(image, "packages")),
            build_type.image,
            choice.arch,
            preferences.packagemanager,
        ),
        drivers=unique(
            item.get("name", "")
            for section in choice.sections(image, "drivers")
            for item in choice.items(section, "file")
        ),
        strip=read_strip(choice.sections(image, "strip"), choice.arch),
        containers=tuple(
            read_container(section, item)
            for section in choice.sections(image, "containers")
            for item in choice.items(section, "container")
        ),
        certificates=_certificates(choice.sections(image, "certificates")),
    )


def _certificates(sections: Iterable[Element]) -> tuple[Certificates, ...]:
    return tuple(
        Certificates(section.get("target_distribution", ""), names)
        for section in sections
        if (names := names_of(section, "certificate"))
    )


def effective(
    document: Document,
    *,
    profiles: Sequence[str] = (),
    type: str | None = None,
    arch: str | None = None,
) -> Tree:
    """The description, reduced to the selected image.

    Selecting from it without profiles and type gives the same image again.

    Args:
        document: A valid description.
        profiles: As for :func:`select`.
        type: As for :func:`select`.
        arch: As for :func:`select`.

    Returns:
        A copy of the tree; the document does not change.

    Raises:
        DescriptionError: As for :func:`select`.
    """
    return _reduced(document, choose(document.tree.getroot(), profiles, type, arch))


def reduced(document: Document, image: ImageDescription) -> Tree:
    """The description, reduced to an image that was selected from it; see :func:`effective`."""
    root = document.tree.getroot()
    return _reduced(document, choice_of(root, image.profiles, image.type.image, image.arch))


def _reduced(document: Document, choice: Choice) -> Tree:
    chosen = choice.type
    path = document.tree.getpath(chosen)
    tree = copy.deepcopy(document.tree)
    image = tree.getroot()
    kept: list[Element] = tree.xpath(path)  # type: ignore[assignment]  # lxml-stubs: XPath may give anything
    for section in list(image.iterchildren("*")):
        if not choice.includes(section) or (
            section.tag == "packages"
            and section.get("type") not in (*PHASES, chosen.get("image", ""))
        ):
            image.remove(section)
        elif (names := split_names(section.get("profiles"))) != ():
            section.set("profiles", ",".join(name for name in names if name in choice.profiles))
    for item in list(image.iter("*")):
        if item.getparent() is not None and not arch_matches(item, choice.arch):
            _remove(item)
    for other in image.findall("preferences/type"):
        if other not in kept:
            _remove(other)
    _keep_profiles(image, choice.profiles)
    etree.indent(tree, "  ")
    return tree


def selected_sections(document: Document, image: ImageDescription, name: str) -> Iterator[Element]:
    """The sections of a name that are part of an image, in document order.

    Args:
        document: The whole description.
        image: The selected image.
        name: Name of a child element of ``<image>``.
    """
    return (
        section
        for section in document.tree.getroot().iterchildren(name)
        if is_selected(section, image.profiles, image.arch)
    )


def _remove(element: Element) -> None:
    parent = element.getparent()
    assert parent is not None
    parent.remove(element)


def _keep_profiles(image: Element, names: Sequence[str]) -> None:
    """Leave these profiles only, in this order, in one section, selected by default."""
    declared: dict[str, Element] = {}
    for item in image.iterfind("profiles/profile"):
        declared.setdefault(item.get("name", ""), item)
    sections = image.findall("profiles")
    if not sections:
        return
    first, *others = sections
    for section in others:
        _remove(section)
    for item in list(first):
        first.remove(item)
    for name in names:
        profile = declared[name]
        profile.set("import", "true")
        for required in list(profile):
            profile.remove(required)
        first.append(profile)
    if not names:
        _remove(first)
