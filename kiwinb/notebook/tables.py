"""Tables of pandas as a recipe shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from pandas.io.formats.style import Styler


def shown(table: pd.DataFrame, **formats: Any) -> Styler:
    """A table without its index, texts to the left.

    Args:
        table: The table.
        formats: By column, how its values are written, as for ``Styler.format``.
    """
    left: Any = {"selector": "th, td", "props": "text-align: left; vertical-align: top"}
    return table.style.hide(axis="index").format(formats, escape="html").set_table_styles([left])
