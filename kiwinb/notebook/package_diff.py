"""Show the changes between two trees in tables to filter, sort and export."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kiwinb.errors import InspectError
from kiwinb.html import escape, more, picture, table
from kiwinb.inspect import diff as inspected
from kiwinb.inspect.diff import Difference
from kiwinb.inspect.opening import Source
from kiwinb.inspect.table import csv_of
from kiwinb.notebook.live import Request, Shown
from kiwinb.paths import normalised
from kiwinb.sizes import binary, signed
from kiwinb.visible import visible

PAGE = 200
"""Number of rows that are sent at a time."""

_TOP_PACKAGES = 40
_TOP_FILES = 15
_SIZES = ("size_before", "size_after", "delta")
_LESS = ("arch", "before", "what")
_HEADS = {
    "name": "Package",
    "arch": "Arch",
    "before": "Before",
    "after": "After",
    "change": "Change",
    "size_before": "Size before",
    "size_after": "Size after",
    "delta": "Difference",
    "path": "Path",
    "what": "What",
}
_CHANGES = ("added", "removed", "upgraded", "downgraded", "changed")


class DifferenceBrowser(Shown):
    """A browser for a difference.

    Args:
        difference: The difference.
    """

    view = "difference"

    def __init__(self, difference: Difference) -> None:
        self.difference = difference
        self.tables = {"packages": difference.packages, "files": difference.files}

    def __repr__(self) -> str:
        return f"<DifferenceBrowser of {self.difference}>"

    def select(
        self, name: str, text: str = "", change: str = "", sort: str = "", descending: bool = False
    ) -> pd.DataFrame:
        """Select rows of a table.

        Args:
            name: ``packages`` or ``files``.
            text: Words, all of which have to be in the name or path, the versions, or the column
                ``what``.
            change: Change to select, such as ``added``; empty for all changes.
            sort: Column to sort by; empty to keep the order.
            descending: Whether to sort in descending order.

        Raises:
            InspectError: There is no such table or column.
        """
        if name not in self.tables:
            raise InspectError(f"a difference has no table {name!r}")
        rows = self.tables[name]
        if sort and sort not in rows.columns:
            raise InspectError(f"the table {name} has no column {sort!r}")
        if change:
            rows = rows[rows["change"].eq(change)]
        for word in text.lower().split():
            holds = pd.Series(False, index=rows.index)
            for column in ("name", "path", "what", "before", "after"):
                if column in rows:
                    holds |= rows[column].str.lower().str.contains(word, regex=False)
            rows = rows[holds]
        if sort:
            rows = rows.sort_values(sort, ascending=not descending, kind="stable")
        return rows

    def export(self, path: str | Path, name: str = "packages", **selection: Any) -> Path:
        """Write rows of a table as CSV; return the path of the file.

        Args:
            path: The file to write.
            name: ``packages`` or ``files``.
            **selection: As for :meth:`select`.

        Raises:
            InspectError: There is no such table or column.
        """
        file = normalised(path)
        file.write_bytes(csv_of(self.select(name, **selection)))
        return file

    def state(self) -> Request:
        """Return the columns, changes and first rows of the tables."""
        return {
            "title": visible(f"{self.difference.before} → {self.difference.after}"),
            "summary": visible(self.difference.summary(), lines=True),
            "tables": [
                {
                    "name": name,
                    "columns": [
                        {"key": key, "label": _HEADS[key], "number": key in _SIZES}
                        for key in rows.columns
                    ],
                    "changes": _counts(rows),
                    "count": len(rows),
                    "first": self.answer({"table": name, "sort": "delta", "descending": True}),
                }
                for name, rows in self.tables.items()
            ],
        }

    def answer(self, request: Request) -> Request:
        """Answer ``rows`` or ``export``.

        Raises:
            InspectError: There is no such table or column.
        """
        rows = self.select(
            str(request["table"]),
            str(request.get("text", "")),
            str(request.get("change", "")),
            str(request.get("sort", "")),
            bool(request.get("descending", False)),
        )
        if request.get("op") == "export":
            return {"csv": b64encode(csv_of(rows)).decode("ascii")}
        offset = int(request.get("offset", 0))
        page = rows.iloc[offset : offset + PAGE]
        delta = rows["delta"].dropna()
        return {
            "rows": [[_plain(value) for value in row] for row in page.itertuples(index=False)],
            "count": len(rows),
            "delta": int(delta.sum()) if len(delta) else None,
        }

    def static(self) -> tuple[str, str]:
        """Return the summary, a picture and the largest changes, as HTML and as text."""
        difference = self.difference
        title = f"{difference.before} → {difference.after}"
        summary = escape(difference.summary(), lines=True)
        parts = [f"<h4>{escape(title)}</h4>", f'<div class="note">{summary}</div>']
        parts += _bars(difference)
        for name, top in (("packages", _TOP_PACKAGES), ("files", _TOP_FILES)):
            rows = self.tables[name]
            if rows.empty:
                continue
            shown = _largest(rows, top)
            columns = [key for key in rows.columns if key not in _SIZES[:2]]
            cells = [
                [_cell(key, value) for key, value in zip(columns, row, strict=True)]
                for row in shown[columns].itertuples(index=False)
            ]
            heads = [_HEADS[key] for key in columns]
            less = [columns.index(key) for key in _LESS if key in columns]
            parts.append(table(heads, cells, [columns.index("delta")], less))
            parts.append(more(len(rows) - top, name))
        return "".join(parts), str(difference)


@dataclass(frozen=True)
class BrowsableDifference(Difference):
    """The changes from one tree to another, which can be browsed."""

    def browse(self) -> DifferenceBrowser:
        """Filter, sort and export the tables."""
        return DifferenceBrowser(self)


def diff(a: Source, b: Source) -> BrowsableDifference:
    """Compare two trees, or lists of packages that builds write.

    See :func:`kiwinb.inspect.diff.diff`.

    Raises:
        InspectError: One of the two cannot be read.
        StoreError: One of the two is not in the store.
    """
    return BrowsableDifference(**vars(inspected.diff(a, b)))


def _bars(difference: Difference) -> list[str]:
    from kiwinb.inspect.plot import diff_bars  # importing matplotlib is slow

    try:
        drawn = diff_bars(difference, limit=15)
    except InspectError:  # nothing changed in size
        return []
    return [picture(drawn.png(), "Sizes of the packages that changed most, as bars")]


def _counts(rows: pd.DataFrame) -> dict[str, int]:
    counts = rows["change"].value_counts()
    return {change: int(counts[change]) for change in _CHANGES if change in counts}


def _largest(rows: pd.DataFrame, top: int) -> pd.DataFrame:
    size = rows["delta"].astype("Int64").abs().fillna(0)
    return rows.loc[size.sort_values(ascending=False, kind="stable").index[:top]]


def _cell(key: str, value: Any) -> str:
    if key in _SIZES:
        return "" if pd.isna(value) else signed(value) if key == "delta" else binary(value)
    return str(value)


def _plain(value: Any) -> str | int | None:
    if isinstance(value, str):
        return visible(value)
    return None if pd.isna(value) else int(value)
