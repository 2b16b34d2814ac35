"""Choose profiles, an architecture and an image type."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lxml import etree

from kiwinb.description.document import location
from kiwinb.description.values import arch_matches, boolean, items_for, names_of, split_names
from kiwinb.errors import DescriptionError
from kiwinb.spelling import near_names

Element = etree._Element


@dataclass(frozen=True)
class Choice:
    """What is selected.

    Attributes:
        arch: Architecture, as ``uname -m`` prints it.
        profiles: Names of the profiles, in document order.
        order: The same names, with required profiles before those that require them.
        type: The ``<type>``.
    """

    arch: str
    profiles: tuple[str, ...]
    order: tuple[str, ...]
    type: Element

    def includes(self, section: Element) -> bool:
        """Whether the selection includes a section."""
        return is_selected(section, self.profiles, self.arch)

    def sections(self, image: Element, name: str) -> Iterator[Element]:
        """The selected sections of a name, in document order."""
        return (section for section in image.iterchildren(name) if self.includes(section))

    def ranked(self, image: Element, name: str) -> list[Element]:
        """The selected sections of a name: those for all profiles first, then by profile."""
        return _ranked(self.sections(image, name), self.order)

    def items(self, section: Element, name: str) -> Iterator[Element]:
        """The children of a section that apply to the architecture."""
        return items_for(section, name, self.arch)


def choose(
    image: Element, wanted: Sequence[str], type_name: str | None, arch: str | None
) -> Choice:
    """Make the selection for an image; arguments and errors as for ``select``."""
    arch = arch or platform.machine()
    order = _choose_profiles(image, wanted, arch)
    profiles = tuple(name for name in names_of(image, "profiles/profile") if name in order)
    sections = _ranked(
        (item for item in image.iterchildren("preferences") if is_selected(item, profiles, arch)),
        order,
    )
    return Choice(arch, profiles, order, _choose_type(image, sections, profiles, type_name, arch))


def _choose_profiles(image: Element, wanted: Sequence[str], arch: str) -> tuple[str, ...]:
    declared = {item.get("name", ""): item for item in image.iterfind("profiles/profile")}
    for name in wanted:
        if name not in declared:
            raise DescriptionError(
                f"there is no profile {name!r}",
                remedy=_did_you_mean(name, declared)
                + (
                    f"The description has these profiles: {', '.join(declared)}."
                    if declared
                    else "The description declares no profiles."
                ),
                location=location(image),
            )
        if not arch_matches(declared[name], arch):
            raise DescriptionError(
                f"profile {name!r} is not for {arch}",
                remedy=f"It is for {declared[name].get('arch')} only.",
                location=location(declared[name]),
            )
    for section in image.iterchildren("*"):
        for name in split_names(section.get("profiles")):
            if name not in declared:
                raise DescriptionError(
                    f"there is no profile {name!r}",
                    remedy=_did_you_mean(name, declared) or "Declare it in <profiles>.",
                    location=location(section),
                )
    chosen: dict[str, None] = {}

    def take(name: str, asked_by: tuple[str, ...]) -> None:
        if name in chosen or name in asked_by:
            return
        for required in items_for(declared[name], "requires", arch):
            other = required.get("profile", "")
            if other not in declared:
                raise DescriptionError(
                    f"profile {name!r} requires {other!r}, which is not declared",
                    remedy=_did_you_mean(other, declared) or "Declare it, or drop the line.",
                    location=location(required),
                )
            if arch_matches(declared[other], arch):
                take(other, (*asked_by, name))
        chosen[name] = None

    imported = (
        name
        for name, item in declared.items()
        if boolean(item.get("import")) and arch_matches(item, arch)
    )
    for name in wanted or imported:
        take(name, ())
    return tuple(chosen)


def _choose_type(
    image: Element,
    sections: Sequence[Element],
    profiles: Sequence[str],
    wanted: str | None,
    arch: str,
) -> Element:
    types = [item for section in sections for item in section.iterchildren("type")]
    by_name = {item.get("image", ""): item for item in types}
    if wanted is not None and wanted in by_name:
        return by_name[wanted]
    under = f"under the profiles {', '.join(profiles)}" if profiles else "without profiles"
    if wanted is not None:
        raise DescriptionError(
            f"there is no type {wanted!r} {under}",
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
    return primary[-1] if primary else by_name[types[0].get("image", "")]


def _types_elsewhere(image: Element, here: Iterable[str]) -> str:
    """List the types for a message: those selected here, and those in other sections."""
    names = list(here)
    lines = [f"The types here are: {', '.join(names)}."] if names else []
    for section in image.iterchildren("preferences"):
        others = [item.get("image", "") for item in section.iterchildren("type")]
        limits = [f"{key} {section.get(key)}" for key in ("profiles", "arch") if section.get(key)]
        if limits and (others := [name for name in others if name not in names]):
            lines.append(f"Under {' and '.join(limits)} there is: {', '.join(others)}.")
    return " ".join(lines) or "Add a <type> to <preferences>."


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    near = near_names(name, list(known))
    return f"Did you mean {near[0]!r}? " if near else ""


def is_selected(section: Element, profiles: Sequence[str], arch: str) -> bool:
    """Whether a section is part of an image of those profiles and that architecture."""
    names = split_names(section.get("profiles"))
    return arch_matches(section, arch) and (not names or not set(names).isdisjoint(profiles))


def _ranked(sections: Iterable[Element], order: Sequence[str]) -> list[Element]:
    def rank(section: Element) -> int:
        names = split_names(section.get("profiles"))
        return max((order.index(name) + 1 for name in names if name in order), default=0)

    return sorted(sections, key=rank)
