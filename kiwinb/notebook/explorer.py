"""The size explorer: disk usage as a treemap, an icicle or a Pareto chart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from weakref import finalize

import pandas as pd
import squarify

from kiwinb.errors import InspectError
from kiwinb.html import bar, escape, more, picture, table
from kiwinb.inspect.files import files
from kiwinb.inspect.opening import Source, opened
from kiwinb.inspect.tree import Tree
from kiwinb.notebook.live import Request, Shown
from kiwinb.notebook.sizes import LEVELS, Group, Sizes
from kiwinb.sizes import binary
from kiwinb.visible import visible

_MOST = 40
_LISTED = 100
_HEADER = 20.0
_ROWS = 4
_LARGE = 0.15
_DOMINANT = 0.6  # share of the total above which colours distinguish the content of a group
_SMALLEST = 3.0
_STATIC_TOP = 15
_WIDTH, _HEIGHT = 760.0, 440.0  # of the first treemap; the view stretches it to the place it has


class SizeExplorer(Shown):
    """An explorer for the sizes in a tree.

    Args:
        tree: The tree.
        table: Its table from :func:`~kiwinb.inspect.files.files`, if that exists already.
        by: Initial grouping, one of :data:`~kiwinb.notebook.sizes.LEVELS`.
        name: Name in the heading; by default, that of the tree.

    Raises:
        InspectError: ``by`` is unknown.
    """

    view = "explorer"

    def __init__(
        self,
        tree: Tree,
        table: pd.DataFrame | None = None,
        *,
        by: str = "directory",
        name: str | None = None,
    ) -> None:
        if by not in LEVELS:
            raise InspectError(
                f"sizes cannot be grouped by {by!r}", remedy=f"Choose: {', '.join(LEVELS)}."
            )
        self.tree = tree
        self.name = name or tree.name
        self.files = files(tree) if table is None else table
        self.by = by

    @cached_property
    def sizes(self) -> Sizes:
        """Sizes by group."""
        return Sizes(self.tree, self.files)

    @property
    def total(self) -> int:
        """Disk usage in bytes."""
        return int(self.files["usage"].sum())

    def __repr__(self) -> str:
        return f"<SizeExplorer of {visible(self.name)}: {binary(self.total)} by {self.by}>"

    def state(self) -> Request:
        """Return the total, the ways of grouping, and the treemap of the top level."""
        return {
            "title": visible(self.name),
            "total": self.total,
            "by": self.by,
            "levels": list(LEVELS),
            "first": self.answer({"by": self.by, "at": (), "width": _WIDTH, "height": _HEIGHT}),
        }

    def answer(self, request: Request) -> Request:
        """Answer ``level``: the groups inside a group, and the place of each in the drawing.

        Raises:
            InspectError: There is no such group.
        """
        by, at = str(request["by"]), tuple(str(key) for key in request["at"])
        groups = [group for group in self.sizes.groups(by, at) if group.usage > 0]
        usage = sum(group.usage for group in groups)
        view = request.get("view", "treemap")
        width, height = (
            min(4000.0, max(100.0, float(request[key]))) for key in ("width", "height")
        )
        if view == "pareto":
            boxes: Iterator[Request] = iter(())
        elif view == "icicle":
            boxes = self._icicle(by, at, groups, width, height)
        else:
            boxes = self._treemap(by, at, groups, width, height)
        return {
            "width": width,
            "usage": usage,
            "count": len(groups),
            "groups": [_group(group, usage) for group in groups[:_LISTED]],
            "boxes": list(boxes),
        }

    def static(self) -> tuple[str, str]:
        """Return a treemap and the largest groups, as HTML and as text."""
        from kiwinb.inspect.plot import treemap  # importing matplotlib is slow

        groups = self._telling()
        title = f"{visible(self.name)}: {binary(self.total)} by {self.by}"
        rows = [
            (group.key, binary(group.usage), bar(group.usage / max(1, self.total)),
             f"{group.files:,}")
            for group in groups[:_STATIC_TOP]
        ]  # fmt: skip
        drawn = ""
        if self.total:
            drawn = picture(
                treemap(
                    pd.DataFrame(
                        {
                            "group": [visible(group.key) for group in groups],
                            "usage": [group.usage for group in groups],
                        }
                    ),
                    title=title,
                ).png(),
                f"Treemap of {title}",
            )
        html = (
            f"<h4>{escape(title)}</h4>{drawn}"
            + table((self.by.capitalize(), "Size", "Share", "Files"), rows, (1, 3))
            + more(len(groups) - _STATIC_TOP, "groups")
        )
        return html, "\n".join([title, *(f"  {row[1]:>10}  {row[0]}" for row in rows)])

    def _telling(self) -> list[Group]:
        """Return the groups of the static form, with large directories split up."""
        known: list[tuple[tuple[str, ...], Group]] = [
            ((group.key,), group) for group in self.sizes.groups(self.by) if group.usage > 0
        ]
        while self.by == "directory" and known:
            largest = max(known, key=lambda item: item[1].usage)
            at, group = largest
            alone = group.leaf or (len(at) > 1 and at[-1] == at[-2])
            if alone or group.usage < _LARGE * self.total or len(known) > _MOST:
                break
            known.remove(largest)
            below = self.sizes.groups(self.by, at)
            known += [((*at, child.key), child) for child in below if child.usage > 0]
        return sorted((group for _at, group in known), key=lambda group: -group.usage)

    def _treemap(
        self, by: str, at: tuple[str, ...], groups: Sequence[Group], width: float, height: float
    ) -> Iterator[Request]:
        for number, (group, box) in enumerate(_squares(groups, (0.0, 0.0, width, height))):
            yield _box(group, box, number, 0)
            left, top, wide, high = box
            if group.leaf or not group.key or wide < 70 or high < 50:
                continue
            inner = (left + 3, top + _HEADER, wide - 6, high - _HEADER - 3)
            below = self.sizes.groups(by, (*at, group.key))
            alone = group.usage > _DOMINANT * sum(item.usage for item in groups)
            for second, (child, place) in enumerate(_squares(below, inner)):
                yield _box(child, place, second if alone else number, 1)

    def _icicle(
        self, by: str, at: tuple[str, ...], groups: Sequence[Group], width: float, height: float
    ) -> Iterator[Request]:
        high = height / _ROWS
        scale = width / (sum(group.usage for group in groups) or 1)

        def row(
            groups: Sequence[Group], keys: tuple[str, ...], left: float, depth: int, hue: int
        ) -> Iterator[Request]:
            for number, group in enumerate(_few(groups)):
                wide = group.usage * scale
                if wide < _SMALLEST:
                    return
                colour = hue if depth else number
                yield _box(group, (left, depth * high, wide, high), colour, depth)
                if depth + 1 < _ROWS and group.key and not group.leaf:
                    inside = (*keys, group.key)
                    below = self.sizes.groups(by, inside)
                    yield from row(below, inside, left, depth + 1, colour)
                left += wide

        yield from row(groups, at, 0.0, 0, 0)


Box = tuple[float, float, float, float]


def _few(groups: Sequence[Group]) -> list[Group]:
    """Return the largest groups that take space, and one without a key for all others."""
    filled = [group for group in groups if group.usage > 0]
    if len(filled) <= _MOST + 1:
        return filled
    rest = filled[_MOST:]
    usage, count = sum(item.usage for item in rest), sum(item.files for item in rest)
    return [*filled[:_MOST], Group("", f"{len(rest):,} others", usage, count, True)]


def _squares(groups: Sequence[Group], box: Box) -> Iterator[tuple[Group, Box]]:
    shown = _few(groups)
    if not shown:
        return
    left, top, width, height = box
    sizes = squarify.normalize_sizes([group.usage for group in shown], width, height)
    for group, place in zip(shown, squarify.squarify(sizes, left, top, width, height), strict=True):
        if min(place["dx"], place["dy"]) >= _SMALLEST:
            yield group, (place["x"], place["y"], place["dx"], place["dy"])


def _box(group: Group, box: Box, colour: int, depth: int) -> Request:
    return {
        "key": visible(group.key),
        "label": visible(group.label),
        "usage": group.usage,
        "files": group.files,
        "leaf": group.leaf,
        "box": [round(part, 1) for part in box],
        "colour": colour,
        "depth": depth,
    }


def _group(group: Group, whole: int) -> Request:
    return {
        "key": visible(group.key),
        "label": visible(group.label),
        "usage": group.usage,
        "files": group.files,
        "share": group.usage / (whole or 1),
        "leaf": group.leaf,
    }


def explore(source: Source, *, by: str = "directory") -> SizeExplorer:
    """Explore the sizes in a root tree, an image, a checkpoint or a path.

    Args:
        source: The tree or image.
        by: Initial grouping: ``directory``, ``package``, ``section``, ``type`` or ``extension``.

    Raises:
        InspectError: The source cannot be read, or ``by`` is unknown.
        StoreError: The store does not hold it.
    """
    with ExitStack() as stack:
        explorer = SizeExplorer(stack.enter_context(opened(source)), by=by)
        finalize(explorer, stack.pop_all().close)
        return explorer
