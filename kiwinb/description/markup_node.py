"""What stands for elements in descriptions that are not XML."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kiwinb.errors import DescriptionError, Location
from kiwinb.spelling import shortened

ATTRIBUTE = "@"
"""What the names of attributes begin with."""

TEXT = "#text"
"""The key of the text of an element with attributes."""


@dataclass
class Node:
    """What stands for an element.

    Attributes:
        line: Its line, from 1.
        text: Its text.
        attributes: Its attributes, by name.
        children: Its child elements, with their names.
    """

    line: int
    text: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[tuple[str, Node]] = field(default_factory=list)
    last: dict[str, Node] = field(default_factory=dict)
    """The last child of each name."""

    def add(self, name: str, child: Node) -> None:
        """Add a child element."""
        self.children.append((name, child))
        self.last[name] = child


def wrong(name: Path, line: int | None, problem: str, remedy: str) -> DescriptionError:
    """An error in a description."""
    return DescriptionError(shortened(problem), remedy=remedy, location=Location(name, line))
