"""What the summary of a matrix says about single cells: links to their reports, and reasons."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from kiwinb.html import Markup, block, escape, table
from kiwinb.visible import visible

Record = Mapping[str, Any]
"""A cell in ``summary.json``."""


class Reports:
    """A table of cells with links to their reports and executed notebooks.

    Args:
        cells: The cells, as in ``summary.json``.
    """

    def __init__(self, cells: Sequence[Record]) -> None:
        self._cells = cells

    def __repr__(self) -> str:
        lines = (f"{cell['name']}: {cell['state']}{_places(cell)}" for cell in self._cells)
        return "\n".join(map(visible, lines))

    def _repr_html_(self) -> str:
        rows = [(cell["name"], cell["state"], _links(cell), cell["end"]) for cell in self._cells]
        return block(table(("Cell", "State", "Files", ""), rows))


class Failures:
    """The cells that did not pass, each with its whole reason.

    Args:
        cells: The cells, as in ``summary.json``; those that passed are left out.
    """

    def __init__(self, cells: Sequence[Record]) -> None:
        self._cells = [cell for cell in cells if cell["state"] != "passed"]

    def __repr__(self) -> str:
        return visible("\n\n".join(map(_text, self._cells)), lines=True) or "All cells passed."

    def _repr_html_(self) -> str:
        if not self._cells:
            return "<p>All cells passed.</p>"
        return block("".join(map(_html, self._cells)))


def _text(cell: Record) -> str:
    lines = [f"{cell['name']}: {cell['state']}{_where(cell)}{_places(cell)}"]
    lines += [f"  {line}" for line in cell["problem"].splitlines()]
    if cell["log"]:
        lines += ["  The last lines that it printed:", *(f"  | {line}" for line in cell["log"])]
    return "\n".join(lines)


def _html(cell: Record) -> str:
    log = "".join(f"{line}\n" for line in cell["log"])
    lines = f"<pre>{escape(log, lines=True)}</pre>"
    printed = f"<p>The last lines that it printed:</p>{lines}" if log else ""
    return (
        f"<h4>{escape(cell['name'])}: {escape(cell['state'])}{escape(_where(cell))}</h4>"
        f"<pre>{escape(cell['problem'], lines=True)}</pre>{printed}<p>{_links(cell)}</p>"
    )


def _where(cell: Record) -> str:
    return f" in {cell['where']}" if cell["where"] else ""


def _places(cell: Record) -> str:
    places = ", ".join(place for _what, place in _files(cell))
    return f" ({places})" if places else ""


def _links(cell: Record) -> Markup:
    links = (
        f'<a href="{escape(quote(os.fsencode(place)))}">{escape(what)}</a>'
        for what, place in _files(cell)
    )
    return Markup(", ".join(links))


def _files(cell: Record) -> Iterator[tuple[str, str]]:
    for what in ("report", "notebook"):
        if cell[what]:
            yield what, cell[what]
