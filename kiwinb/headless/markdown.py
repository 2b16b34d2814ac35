"""Put texts of other people into Markdown, where they are neither markup nor mathematics."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kiwinb.visible import visible


def span(text: str) -> str:
    """A name within a paragraph."""
    shown = visible(text)
    if not shown.strip():
        return "(no name)"
    fence = _fence(shown, 1)
    room = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{room}{shown}{room}{fence}"


def block(lines: Iterable[str]) -> str:
    """Lines of a log or message, as a paragraph of their own."""
    shown = "\n".join(map(visible, lines))
    fence = _fence(shown, 4)
    return f"{fence}text\n{shown}\n{fence}"


def _fence(text: str, least: int) -> str:
    """Backticks that do not end within the text."""
    return "`" * max([least, *(len(found) + 1 for found in re.findall("`+", text))])
