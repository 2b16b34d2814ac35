"""Show pandas tables in recipes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kiwinb.html import NO_MATH
from kiwinb.visible import visible

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class ShownTable:
    """A table for the output of a cell, with equal output for equal tables.

    Attributes:
        html: The table as HTML.
        text: The table as text.
    """

    html: str
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html


def shown(table: pd.DataFrame, **formats: Any) -> ShownTable:
    """Format a table without its index and with left-aligned text.

    Args:
        table: The table.
        formats: Formats of values, by column, as for ``Styler.format``.
    """
    table = table.map(_as_text)
    plain = table.assign(**{name: _written(table[name], how) for name, how in formats.items()})
    text = visible(plain.to_string(index=False), lines=True)
    left: Any = {"selector": "th, td", "props": "text-align: left; vertical-align: top"}
    styler = table.style.hide(axis="index").format(formats, escape="html").set_table_styles([left])
    styler = styler.format_index(escape="html", axis="columns")
    name = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    html = visible(styler.set_uuid(name).to_html(), lines=True)
    return ShownTable(f'<div class="{NO_MATH}">{html}</div>', text)


def _written(values: pd.Series, how: Any) -> pd.Series:
    return values.map(how.format if isinstance(how, str) else how).astype(object)


def _as_text(value: Any) -> Any:
    """Write out several values in one cell; the styles of pandas escape nothing but texts."""
    return str(value) if isinstance(value, tuple | list | set | frozenset | dict) else value
