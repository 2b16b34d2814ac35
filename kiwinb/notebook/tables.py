"""Tables of pandas as a recipe shows them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class ShownTable:
    """A table as a cell shows it; equal tables look the same in each run.

    Attributes:
        html: As HTML.
        text: As text.
    """

    html: str
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html


def shown(table: pd.DataFrame, **formats: Any) -> ShownTable:
    """A table without its index, texts to the left.

    Args:
        table: The table.
        formats: By column, how its values are written, as for ``Styler.format``.
    """
    plain = table.assign(**{name: _written(table[name], how) for name, how in formats.items()})
    text = plain.to_string(index=False)
    left: Any = {"selector": "th, td", "props": "text-align: left; vertical-align: top"}
    styler = table.style.hide(axis="index").format(formats, escape="html").set_table_styles([left])
    name = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return ShownTable(styler.set_uuid(name).to_html(), text)


def _written(values: pd.Series, how: Any) -> pd.Series:
    return values.map(how.format if isinstance(how, str) else how).astype(object)
