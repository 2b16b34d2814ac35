"""Recipes for tests: notebooks made of a few cells."""

from __future__ import annotations

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


EXPECT = """\
import json, os
def expect(what, expected, measured, passed):
    line = json.dumps(dict(what=what, expected=expected, measured=measured, passed=passed))
    with open(os.environ["KIWINB_RECORD_EXPECTATIONS"], "a") as file:
        file.write(line + "\\n")
"""
