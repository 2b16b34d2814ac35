"""The tables that describe trees and images: what they show is escaped, what they hold is not."""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any, Literal

import pandas as pd

from kiwinb.html import NO_MATH
from kiwinb.visible import visible

_FORMULA = ("=", "+", "-", "@", "'", "\t", "\r", "\n")


class Column(pd.Series):
    """A column of a :class:`Table`."""

    @property
    def _constructor(self) -> Callable[..., Column]:
        return Column

    @property
    def _constructor_expanddim(self) -> Callable[..., Table]:
        return Table

    def __repr__(self) -> str:
        return visible(super().__repr__(), lines=True)


class Table(pd.DataFrame):
    """A table whose texts are names and texts of other people.

    It holds them as they are. How it looks at a prompt and in a notebook is escaped (see
    :mod:`kiwinb.visible`), and front ends do not take what is between dollars for mathematics.
    Selections of it are such tables, too.
    """

    @property
    def _constructor(self) -> Callable[..., Table]:
        return Table

    @property
    def _constructor_sliced(self) -> Callable[..., Column]:
        return Column

    def __repr__(self) -> str:
        return visible(super().__repr__(), lines=True)

    def _repr_html_(self) -> str | None:
        html = super()._repr_html_()  # type: ignore[misc]
        return html and f'<div class="{NO_MATH}">{visible(html, lines=True)}</div>'

    def _repr_latex_(self) -> None:
        """Leave LaTeX out: texts could be commands."""


def csv_of(table: pd.DataFrame, *, shown: bool = False) -> bytes:
    """Write a table as CSV, for programs and spreadsheets.

    Spreadsheets take a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a formula, even in
    quotation marks. Such texts, and those that begin with an apostrophe or white space, get an
    apostrophe in front. Without its first apostrophe, each of them is as it was.

    Args:
        table: The table.
        shown: Whether it is for people, so that texts are escaped.
    """

    def cell(value: Any) -> Any:
        if not isinstance(value, str):
            return visible(str(value)) if shown and isinstance(value, tuple) else value
        text = f"'{value}" if value.startswith(_FORMULA) else value
        return visible(text) if shown else text

    kinds = table.dtypes
    texts = [name for name in table.columns if not pd.api.types.is_numeric_dtype(kinds[name])]
    plain = table.assign(**{str(name): table[name].astype(object).map(cell) for name in texts})
    # Python's writer takes a carriage return for an ordinary character, but readers do not
    is_odd = any("\r" in text for name in texts for text in plain[name] if isinstance(text, str))
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if is_odd else csv.QUOTE_MINIMAL
    written: str = plain.to_csv(index=False, quoting=quoting)
    return written.encode("utf-8", "surrogateescape")
