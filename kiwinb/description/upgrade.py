"""Upgrade descriptions of older schema versions, from 7.4 on, version by version in memory.

What changed from version to version follows KIWI NG's public documentation and change notes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from lxml import etree

from kiwinb.description.xml import elements, location
from kiwinb.errors import DescriptionError, Location
from kiwinb.spelling import shortened

CURRENT = "8.5"
"""The schema version that descriptions are upgraded to."""


@dataclass(frozen=True)
class Change:
    """A change that an upgrade made.

    Attributes:
        location: The changed element in the file.
        text: What changed, and what to do if that is not enough.
    """

    location: Location
    text: str

    def __str__(self) -> str:
        return f"{self.location}: {self.text}"


Upgrade = Callable[[etree._Element], Iterator[Change]]


def upgrade(root: etree._Element, version: str) -> tuple[Change, ...]:
    """Change the elements of an ``<image>`` from a schema version to the current one.

    Args:
        root: The ``<image>`` of a description or of an included file; changed in place.
        version: The schema version that it was written for.

    Returns:
        The changes; empty if the description is current.

    Raises:
        DescriptionError: The version is older than 7.4, newer than the current one or invalid, or
            part of the description has no counterpart.
    """
    changes: list[Change] = []
    at = _checked(version, location(root))
    while at != CURRENT:
        at, step = STEPS[at]
        changes += step(root)
    return tuple(changes)


def _checked(version: str, where: Location) -> str:
    known = (*STEPS, CURRENT)
    if version in known:
        return version
    if not re.fullmatch(r"\d{1,4}\.\d{1,4}", version):
        raise DescriptionError(
            f"schemaversion={shortened(version)!r} is no schema version",
            remedy=f'Write schemaversion="{CURRENT}".',
            location=where,
        )
    if _number(version) < _number(known[0]):
        raise DescriptionError(
            f"schema version {version} is too old: {known[0]} is the oldest that is upgraded",
            remedy=f"Rewrite the description for {CURRENT}, or let KIWI NG 9 upgrade it to "
            f"{known[0]} first.",
            location=where,
        )
    if _number(version) > _number(CURRENT):
        raise DescriptionError(
            f"schema version {version} is newer than {CURRENT}, the newest that kiwinb knows",
            remedy=f"Use a newer kiwinb, or rewrite the description for {CURRENT}.",
            location=where,
        )
    raise DescriptionError(
        f"there is no schema version {version}; known are {', '.join(known)}",
        remedy=f'Write schemaversion="{CURRENT}".',
        location=where,
    )


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _named(root: etree._Element, name: str, attribute: str | None = None) -> list[etree._Element]:
    return [
        element
        for element in elements(root)
        if element.tag == name and (attribute is None or attribute in element.attrib)
    ]


def _pop(element: etree._Element, attribute: str) -> str:
    value = element.get(attribute, "")
    del element.attrib[attribute]
    return value


def _74_to_75(root: etree._Element) -> Iterator[Change]:
    """``additionaltags`` became ``additionalnames``, where ``:tag`` is a tag alone."""
    for element in _named(root, "containerconfig", "additionaltags"):
        tags = [tag.strip() for tag in _pop(element, "additionaltags").split(",")]
        names = ",".join(f":{tag}" for tag in tags if tag)
        if "additionalnames" in element.attrib:
            names = f"{element.get('additionalnames')},{names}"
        element.set("additionalnames", names)
        yield Change(location(element), f'additionaltags is now additionalnames="{names}"')


def _75_to_76(root: etree._Element) -> Iterator[Change]:
    """``dnf`` became ``dnf4``, because there is a dnf5 now."""
    for element in _named(root, "packagemanager"):
        if (element.text or "").strip() == "dnf":
            element.text = "dnf4"
            yield Change(location(element), "the package manager dnf is now dnf4")


def _76_to_80(root: etree._Element) -> Iterator[Change]:
    """The file system clicfs is gone."""
    for element in _named(root, "type"):
        for attribute in ("image", "filesystem", "flags"):
            if element.get(attribute) == "clicfs":
                raise DescriptionError(
                    f'{attribute}="clicfs" is gone since schema version 8.0',
                    remedy="Use a squashfs with overlayroot instead.",
                    location=location(element),
                )
    yield from ()


def _80_to_81(root: etree._Element) -> Iterator[Change]:
    """A directory of rpm files is no longer a repository type, and the type is optional."""
    for element in _named(root, "repository", "type"):
        if element.get("type") == "rpm-dir":
            del element.attrib["type"]
            yield Change(
                location(element),
                'type="rpm-dir" is dropped; if the package manager cannot read the plain '
                "directory, run createrepo on it and write rpm-md",
            )


def _81_to_82(root: etree._Element) -> Iterator[Change]:
    """All repositories are used for the bootstrap, so none is chosen for it."""
    for element in _named(root, "repository", "use_for_bootstrap"):
        del element.attrib["use_for_bootstrap"]
        yield Change(location(element), "use_for_bootstrap is dropped: all repositories bootstrap")


def _82_to_83(root: etree._Element) -> Iterator[Change]:
    """``btrfs_root_is_snapshot`` now names the tool that manages the snapshots."""
    old, new = "btrfs_root_is_snapshot", "btrfs_root_is_snapper_snapshot"
    for element in _named(root, "type", old):
        value = _pop(element, old)
        if new not in element.attrib:
            element.set(new, value)
        yield Change(location(element), f"{old} is now {new}")


def _83_to_84(root: etree._Element) -> Iterator[Change]:
    """``console`` of the bootloader became one attribute for output and one for input."""
    for element in _named(root, "bootloader", "console"):
        output, *rest = _pop(element, "console").split() or [""]
        new = {"output_console": output, "input_console": " ".join(rest)}
        new = {name: value for name, value in new.items() if value and name not in element.attrib}
        for name, value in new.items():
            element.set(name, value)
        words = " ".join(f'{name}="{value}"' for name, value in new.items())
        said = f"console is now {words}" if words else "console is dropped"
        yield Change(location(element), said)


def _84_to_85(root: etree._Element) -> Iterator[Change]:
    """The VESA mode numbers of ``vga`` are gone."""
    for element in _named(root, "type", "vga"):
        value = _pop(element, "vga")
        yield Change(
            location(element),
            f'vga="{value}" is dropped; set video_mode of <bootloader> to a mode it knows, '
            'for example "1024x768"',
        )


STEPS: Mapping[str, tuple[str, Upgrade]] = {
    "7.4": ("7.5", _74_to_75),
    "7.5": ("7.6", _75_to_76),
    "7.6": ("8.0", _76_to_80),
    "8.0": ("8.1", _80_to_81),
    "8.1": ("8.2", _81_to_82),
    "8.2": ("8.3", _82_to_83),
    "8.3": ("8.4", _83_to_84),
    "8.4": ("8.5", _84_to_85),
}
"""By version: the next version, and the functions that upgrade to it."""
