"""Recipes for tests: notebooks made of a few cells."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import nbformat


def write_recipe(path: Path, *sources: str) -> Path:
    """Write a notebook; its first code cell is tagged ``parameters``, ``# …`` are headings."""
    cells = [
        nbformat.v4.new_markdown_cell(source)
        if source.startswith("# ")
        else nbformat.v4.new_code_cell(source)
        for source in sources
    ]
    first = next(cell for cell in cells if cell.cell_type == "code")
    first.metadata["tags"] = ["parameters"]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


class _References(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = ("src", "data", "href") if tag in ("link", "object") else ("src",)
        self.loaded += [value or "" for name, value in attrs if name in names]


def loaded(html: str) -> list[str]:
    """What a page loads that is not in it; links that a reader may follow are not among it."""
    references = _References()
    references.feed(html)
    return [item for item in references.loaded if not item.startswith("data:")]


EXPECT = """\
import json, os
def expect(what, expected, measured, passed):
    line = json.dumps(dict(what=what, expected=expected, measured=measured, passed=passed))
    with open(os.environ["KIWINB_RECORD_EXPECTATIONS"], "a") as file:
        file.write(line + "\\n")
"""
