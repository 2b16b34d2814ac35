"""Checks of the version, the types and the includes of a description."""

from __future__ import annotations

from collections.abc import Iterator

from kiwinb.checks.problem import Problem, Subject
from kiwinb.description.document import location
from kiwinb.description.select import selected_sections


def image_version_provided(subject: Subject) -> Iterator[Problem]:
    """The file names of results contain the version."""
    if not subject.image.preferences.version:
        yield Problem(
            "the image has no version",
            "Set it in <preferences>: <version>1.0.0</version>.",
            subject.at("preferences"),
        )


def image_type_unique(subject: Subject) -> Iterator[Problem]:
    """Two types with the same name under the same profiles are ambiguous."""
    first: dict[str, int | None] = {}
    for section in selected_sections(subject.document, subject.image, "preferences"):
        for item in section.iterchildren("type"):
            name, place = item.get("image", ""), location(item)
            if name in first:
                yield Problem(
                    f"the type {name} is described twice under the selected profiles, "
                    f"first in line {first[name]}",
                    "Remove one, or put them under different profiles.",
                    place,
                )
            first.setdefault(name, place.line)


def include_references_unresolvable(subject: Subject) -> Iterator[Problem]:
    """An include that could not be resolved would be missing in the description."""
    for item in subject.document.tree.getroot().iter("include"):
        yield Problem(
            f"{item.get('from')} is not included: an <include> has to be directly in <image>",
            "Move it there, and name a file that exists.",
            location(item),
        )
