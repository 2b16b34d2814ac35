"""Choose profiles, an architecture and an image type."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lxml import etree

from kiwinb.description.document import location
from kiwinb.description.values import (
    arch_matches,
    boolean,
    items_for,
    names_of,
    split_names,
    unique,
)
from kiwinb.errors import DescriptionError
from kiwinb.spelling import listed, near_names, shortened

Element = etree._Element

_MOST_SECTIONS = 6
"""Sections with other types that a message lists."""


@dataclass(frozen=True)
class Choice:
    """What is selected.

    Attributes:
        arch: Architecture, as ``uname -m`` prints it.
        profiles: Names of the profiles, as they were asked for; each is followed by those that it
            requires.
        type: The ``<type>``.
    """

    arch: str
    profiles: tuple[str, ...]
    type: Element

    def includes(self, section: Element) -> bool:
        """Whether the selection includes a section."""
        return is_selected(section, self.profiles, self.arch)

    def sections(self, image: Element, name: str) -> Iterator[Element]:
        """The selected sections of a name, in document order."""
        return (section for section in image.iterchildren(name) if self.includes(section))

    def items(self, section: Element, name: str) -> Iterator[Element]:
        """The children of a section that apply to the architecture."""
        return items_for(section, name, self.arch)


def choose(
    image: Element, wanted: Sequence[str], type_name: str | None, arch: str | None
) -> Choice:
    """Make the selection for an image; arguments and errors as for ``select``."""
    arch = arch or platform.machine()
    return choice_of(image, _choose_profiles(image, wanted, arch), type_name, arch)


def choice_of(image: Element, profiles: Sequence[str], type_name: str | None, arch: str) -> Choice:
    """The selection with exactly these profiles, whatever they require."""
    sections = [
        item for item in image.iterchildren("preferences") if is_selected(item, profiles, arch)
    ]
    chosen = _choose_type(image, sections, profiles, type_name, arch)
    return Choice(arch, tuple(profiles), chosen)


def undeclared_profiles(image: Element) -> Iterator[tuple[Element, str, str | None]]:
    """The sections that are for a profile which the description does not declare.

    No image includes such a section on account of that profile.

    Args:
        image: The root of the description.

    Yields:
        The section, the name, and the declared name that is most similar to it, if any is.
    """
    declared = names_of(image, "profiles/profile")
    for section in image.iterchildren("*"):
        for name in split_names(section.get("profiles")):
            if name not in declared:
                yield section, name, next(iter(near_names(name, declared)), None)


def _choose_profiles(image: Element, wanted: Sequence[str], arch: str) -> tuple[str, ...]:
    """The names of the selected profiles.

    By default these are the ones with ``import="true"``, without those that they require.
    """
    every: dict[str, list[Element]] = {}
    for item in image.iterfind("profiles/profile"):
        every.setdefault(item.get("name", ""), []).append(item)
    declared = {
        name: item
        for name, items in every.items()
        for item in reversed(items)
        if arch_matches(item, arch)
    }
    if not wanted:
        return tuple(name for name, item in declared.items() if boolean(item.get("import")))
    for name in wanted:
        _check_profile(image, name, every, arch)
    chosen: dict[str, None] = {}

    pending = list(reversed(wanted))
    while pending:
        name = pending.pop()
        if name in chosen:
            continue
        chosen[name] = None
        others: list[str] = []
        for required in items_for(declared[name], "requires", arch):
            other = required.get("profile", "")
            if other not in declared:
                raise _cannot_require(name, other, every, required, arch)
            others.append(other)
        pending += reversed(others)
    return tuple(chosen)


def _check_profile(
    image: Element, name: str, every: Mapping[str, Sequence[Element]], arch: str
) -> None:
    """Check that a profile is declared, and for the architecture."""
    if name not in every:
        raise DescriptionError(
            f"there is no profile {shortened(name)!r}",
            remedy=_did_you_mean(name, every)
            + (
                f"The description has these profiles: {listed(list(every), name)}."
                if every
                else "The description declares no profiles."
            ),
            location=location(image),
        )
    if not any(arch_matches(item, arch) for item in every[name]):
        raise DescriptionError(
            f"profile {shortened(name)!r} is not for {arch}",
            remedy=f"It is for {_architectures(every[name])} only.",
            location=location(every[name][0]),
        )


def _cannot_require(
    name: str, other: str, every: Mapping[str, Sequence[Element]], required: Element, arch: str
) -> DescriptionError:
    if other in every:
        return DescriptionError(
            f"profile {shortened(name)!r} requires {shortened(other)!r}, which is not for {arch}",
            remedy=f"It is for {_architectures(every[other])} only. Limit the <requires> with "
            "arch, too.",
            location=location(required),
        )
    return DescriptionError(
        f"profile {shortened(name)!r} requires {shortened(other)!r}, which is not declared",
        remedy=_did_you_mean(other, every) or "Declare it, or remove the line.",
        location=location(required),
    )


def _architectures(items: Sequence[Element]) -> str:
    return ", ".join(unique(name for item in items for name in split_names(item.get("arch"))))


def _choose_type(
    image: Element,
    sections: Sequence[Element],
    profiles: Sequence[str],
    wanted: str | None,
    arch: str,
) -> Element:
    types = [item for section in sections for item in section.iterchildren("type")]
    by_name: dict[str, Element] = {}
    for item in types:
        by_name.setdefault(item.get("image", ""), item)
    if wanted is not None and wanted in by_name:
        return by_name[wanted]
    names = shortened(listed(profiles, ""))
    under = f"under the profiles {names}" if profiles else "without profiles"
    if wanted is not None:
        raise DescriptionError(
            f"there is no type {shortened(wanted)!r} {under}",
            remedy=f"{_did_you_mean(wanted, by_name)}{_types_elsewhere(image, by_name)}",
            location=location(image),
        )
    if not types:
        raise DescriptionError(
            f"there is no type {under}, for {arch}",
            remedy=_types_elsewhere(image, by_name),
            location=location(image),
        )
    primary = [item for item in types if boolean(item.get("primary"))]
    return (primary or types)[0]


def _types_elsewhere(image: Element, here: Iterable[str]) -> str:
    """List the types for a message: those selected here, and those in other sections."""
    names = list(here)
    lines = [f"The types here are: {', '.join(names)}."] if names else []
    for section in image.iterchildren("preferences"):
        others = [item.get("image", "") for item in section.iterchildren("type")]
        limits = [f"{key} {section.get(key)}" for key in ("profiles", "arch") if section.get(key)]
        if limits and (others := [name for name in others if name not in names]):
            said = shortened(f"Under {' and '.join(limits)} there is: {', '.join(others)}.")
            lines.append(said)
    more = len(lines) - _MOST_SECTIONS
    if more > 0:
        lines[_MOST_SECTIONS:] = [f"{more} more sections have types."]
    return " ".join(lines) or "Add a <type> to <preferences>."


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    near = near_names(name, list(known))
    return f"Did you mean {near[0]!r}? " if near else ""


def is_selected(section: Element, profiles: Sequence[str], arch: str) -> bool:
    """Whether a section is part of an image of those profiles and that architecture."""
    names = split_names(section.get("profiles"))
    return arch_matches(section, arch) and (not names or not set(names).isdisjoint(profiles))
