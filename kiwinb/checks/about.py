"""Checks of what the description says of itself."""

from __future__ import annotations

from collections.abc import Iterator

from kiwinb.checks.problem import Problem, Subject
from kiwinb.description.document import location
from kiwinb.description.select import selected_sections


def image_version_provided(subject: Subject) -> Iterator[Problem]:
    """The version is part of each result's name."""
    if not subject.image.preferences.version:
        yield Problem(
            "the image has no version",
            "Say it in <preferences>: <version>1.0.0</version>.",
            subject.at("preferences"),
        )


def image_type_unique(subject: Subject) -> Iterator[Problem]:
    """Of two types with one name under the same profiles, nobody can tell which is meant."""
    first: dict[str, int | None] = {}
    for section in selected_sections(subject.document, subject.image, "preferences"):
        for item in section.iterchildren("type"):
            name, place = item.get("image", ""), location(item)
            if name in first:
                yield Problem(
                    f"the type {name} is described twice under the selected profiles, "
                    f"in line {first[name]} before",
                    "Remove one, or put them under different profiles.",
                    place,
                )
            first.setdefault(name, place.line)


def include_references_unresolvable(subject: Subject) -> Iterator[Problem]:
    """What is included is part of the description; reading it puts it in place."""
    for item in subject.document.tree.getroot().iter("include"):
        yield Problem(
            f"{item.get('from')} is not included: an <include> stands directly in <image>",
            "Move it there, and name a file that exists.",
            location(item),
        )
