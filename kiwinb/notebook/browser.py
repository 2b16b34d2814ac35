"""The tree browser: directories to unfold, sizes, owners, and previews of files."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from typing import Any
from weakref import finalize

import numpy as np
import pandas as pd

from kiwinb.errors import InspectError
from kiwinb.html import bar, code, escape, more, table
from kiwinb.inspect.files import files
from kiwinb.inspect.opening import Source, opened
from kiwinb.inspect.tree import Tree
from kiwinb.notebook.live import Request, Shown
from kiwinb.notebook.preview import mode_text, preview
from kiwinb.notebook.tree_index import Integers, TreeIndex
from kiwinb.sizes import binary
from kiwinb.visible import visible

PAGE = 200
"""Number of rows that are sent at a time."""

_TOP = 12
_TOP_DEPTH = 3


class TreeBrowser(Shown):
    """A browser for a tree.

    Args:
        tree: The tree; it has to stay open as long as the browser is used.
        table: Its table from :func:`~kiwinb.inspect.files.files`, if that exists already.
    """

    view = "tree"

    def __init__(self, tree: Tree, table: pd.DataFrame | None = None) -> None:
        self.tree = tree
        self.files = files(tree) if table is None else table

    @cached_property
    def _has_packages(self) -> bool:
        return bool(self.files["package"].ne("").any())

    @cached_property
    def index(self) -> TreeIndex:
        """The index over the files."""
        return TreeIndex(self.files)

    def __repr__(self) -> str:
        return f"<TreeBrowser of {visible(self.tree.name)}: {self._sums}>"

    def state(self) -> Request:
        """Return the root directory, unfolded."""
        return {
            "title": visible(self.tree.name),
            "sums": self._sums,
            "top": self._describe(0, 0),
            **self._page(self.index.children(0), 0, {"sort": "usage", "descending": True}),
        }

    def answer(self, request: Request) -> Request:
        """Answer ``children``, ``find`` or ``preview``.

        Raises:
            InspectError: The request is unknown, or a file cannot be read.
        """
        operation = request.get("op")
        if operation == "children":
            row = int(request["row"])
            return self._page(self.index.children(row), row, request)
        if operation == "find":
            found = self.index.find(str(request["text"]))
            return {**self._page(found, None, request), "usage": self._usage(found)}
        if operation == "preview":
            row = int(request["row"])
            seen = preview(self.tree, self.files.iloc[row], has_packages=self._has_packages)
            facts = [[name, visible(value)] for name, value in seen.facts]
            path = visible(self.index.paths[row])
            return {"path": path, "facts": facts, "text": visible(seen.text, lines=True)}
        raise InspectError(f"a tree browser does not know {operation!r}")

    def static(self) -> tuple[str, str]:
        """Return the largest directories and files, as HTML and as text."""
        index = self.index
        total = max(1, int(index.usage[0]))
        near = np.flatnonzero(index.directory & (index.depth <= _TOP_DEPTH))[1:]
        directories = index.sorted(near, "usage", descending=True)[:_TOP]
        own = self.files["usage"].to_numpy()
        plain = np.flatnonzero(~index.directory)
        largest = plain[np.argsort(-own[plain], kind="stable")]
        rows = [
            (visible(index.paths[row]), binary(index.usage[row]), bar(index.usage[row] / total),
             f"{index.entries[row]:,}")
            for row in directories
        ]  # fmt: skip
        described = [self._describe(int(row), 0) for row in largest[:_TOP]]
        file_rows = [
            (visible(index.paths[int(item["row"])]),
             binary(int(item["usage"])), code(str(item["mode"])),
             str(item["owner"]), str(item["package"]))
            for item in described
        ]  # fmt: skip
        title = f"{visible(self.tree.name)}: {self._sums}"
        html = (
            f"<h4>{escape(title)}</h4>"
            + table(("Largest directories", "Size", "Share", "Entries"), rows, (1, 3))
            + table(("Largest files", "Size", "Mode", "Owner", "Package"), file_rows, (1,), (2, 3))
            + more(len(largest) - _TOP, "files")
        )
        lines = [f"  {row[1]:>10}  {row[0]}" for row in (*rows, *file_rows)]
        return html, "\n".join([title, *lines])

    @property
    def _sums(self) -> str:
        return f"{len(self.files):,} entries, {binary(int(self.index.usage[0]))} on disk"

    def _usage(self, rows: Integers) -> int:
        return int(self.files["usage"].to_numpy()[rows].sum())

    def _page(self, rows: Integers, parent: int | None, request: Request) -> Request:
        by, descending = request.get("sort", "usage"), bool(request.get("descending", True))
        offset = int(request.get("offset", 0))
        ordered = self.index.sorted(rows, by, descending=descending)
        page = [self._describe(int(row), parent) for row in ordered[offset : offset + PAGE]]
        return {"rows": page, "count": len(rows)}

    def _describe(self, row: int, parent: int | None) -> Request:
        """Describe a row for the view; without a parent, its name is the whole path."""
        index, at = self.index, self._columns
        whole = int(index.usage[parent or 0]) or 1
        kind = at["type"][row]
        name = index.paths[row] if parent is None else index.name(row)
        return {
            "row": row,
            "name": visible(name),
            "type": kind,
            "usage": int(index.usage[row]),
            "share": float(index.usage[row] / whole),
            "entries": int(index.entries[row]) if kind == "directory" else None,
            "mode": mode_text(kind, int(at["mode"][row])),
            "owner": visible(at["owner"][row]),
            "package": visible(at["package"][row]),
            "target": visible(at["target"][row]),
        }

    @cached_property
    def _columns(self) -> dict[str, np.ndarray[Any, np.dtype[np.object_]]]:
        names = ("type", "mode", "owner", "package", "target")
        return {name: self.files[name].to_numpy(object) for name in names}


def browse(source: Source) -> TreeBrowser:
    """Browse the tree of a root tree, an image, a checkpoint or a path.

    Raises:
        InspectError: The source cannot be read.
        StoreError: The store does not hold it.
    """
    with ExitStack() as stack:
        browser = TreeBrowser(stack.enter_context(opened(source)))
        finalize(browser, stack.pop_all().close)
        return browser
