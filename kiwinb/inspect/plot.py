"""Pictures of sizes: treemap, icicle, Pareto chart, and the bars of a difference.

Colours are told apart by colour-blind people, too: the palette of Okabe and Ito
(https://jfly.uni-koeln.de/color/), and cividis for amounts. A label is drawn where it fits.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import squarify
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter

from kiwinb.errors import InspectError
from kiwinb.inspect.breakdown import directories
from kiwinb.inspect.diff import Difference
from kiwinb.sizes import binary, signed

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""Eight colours that everybody tells apart."""

_Colour = tuple[float, float, float]


class _LabelledBox(NamedTuple):
    left: float
    bottom: float
    width: float
    height: float
    colour: _Colour
    texts: tuple[str, ...]


_INK = "#222222"
_GAIN, _LOSS = OKABE_ITO[1], OKABE_ITO[0]
_OTHERS = "#bbbbbb"
_FONT_SIZES = (10.0, 8.5, 7.0)
_WIDTH, _HEIGHT, _DPI = 9.0, 5.5, 120


class Picture(Figure):
    """A figure that a notebook shows by itself, whether or not pyplot was imported."""

    def __init__(self, width: float = _WIDTH, height: float = _HEIGHT) -> None:
        super().__init__(figsize=(width, height), dpi=_DPI, layout="constrained")
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        return self.png()

    def png(self) -> bytes:
        """The picture as a PNG file."""
        data = io.BytesIO()
        self.savefig(data, format="png")
        return data.getvalue()


def treemap(
    table: pd.DataFrame, *, value: str = "usage", title: str = "", limit: int = 60
) -> Picture:
    """Rectangles whose areas are the sizes of groups.

    Args:
        table: With columns ``group`` and ``value``, as
            :func:`~kiwinb.inspect.breakdown.breakdown` gives it.
        value: The column with the sizes in bytes.
        title: Above the picture; says what it shows when empty.
        limit: Groups that get a rectangle of their own; the others share one.

    Raises:
        InspectError: There is nothing in it.
    """
    rows, total = _largest(table, value, limit)
    picture = Picture()
    axes = _bare(picture, title or f"{binary(total)} in {len(table)} groups")
    sizes = squarify.normalize_sizes([size for _, size in rows], 1.5, 1)
    colours = _amounts([size for _, size in rows])
    boxes = [
        _LabelledBox(
            place["x"],
            1 - place["y"] - place["dy"],
            place["dx"],
            place["dy"],
            colour,
            (f"{name}\n{binary(size)} · {size / total:.1%}", f"{name}\n{binary(size)}", name),
        )
        for (name, size), colour, place in zip(
            rows, colours, squarify.squarify(sizes, 0, 0, 1.5, 1), strict=True
        )
    ]
    _draw(picture, axes, boxes, (0, 1.5), (0, 1))
    return picture


def icicle(
    files: pd.DataFrame, *, under: str = "/", depth: int = 4, value: str = "usage", title: str = ""
) -> Picture:
    """Directories as rows of bars, each below the one that holds it, as wide as it is large.

    Args:
        files: As :func:`~kiwinb.inspect.files.files` gives it.
        under: The directory at the top.
        depth: Rows below it.
        value: The column with the sizes in bytes.
        title: Above the picture; says what it shows when empty.

    Raises:
        InspectError: There is nothing in it.
    """
    prefix = "/" if under == "/" else f"{under}/"
    inside = files[files["path"].str.startswith(prefix) | files["path"].eq(under)]
    total = int(inside[value].sum())
    if total <= 0:
        raise _nothing(under)
    sizes = _directory_sizes(inside, under, depth, value)
    picture = Picture()
    axes = _bare(picture, title or f"{binary(total)} in {under} by directory")
    colours = {under: to_rgb("#dddddd")}
    boxes: list[_LabelledBox] = []
    todo: list[tuple[str, float, int]] = [(under, 0.0, 0)]
    while todo:
        path, left, level = todo.pop()
        width = sizes[level][path] / total
        name = path if level == 0 else path.rpartition("/")[2]
        texts = (f"{name}\n{binary(sizes[level][path])}", name)
        boxes.append(_LabelledBox(left, float(-level - 1), width, 1.0, colours[path], texts))
        if level == depth:
            continue
        below = f"{path}/" if path != "/" else "/"
        children = [
            (size, child)
            for child, size in sizes[level + 1].items()
            if child.startswith(below) and child != path and size / total > 0.0015
        ]
        for number, (size, child) in enumerate(sorted(children, reverse=True)):
            base = OKABE_ITO[number % len(OKABE_ITO)] if level == 0 else colours[path]
            colours[child] = _lighter(to_rgb(base), 0.15 if level == 0 else 0.22)
            todo.append((child, left, level + 1))
            left += size / total
    _draw(picture, axes, boxes, (0, 1), (-depth - 1, 0))
    return picture


def pareto(
    table: pd.DataFrame, *, value: str = "usage", title: str = "", limit: int = 20
) -> Picture:
    """The largest groups as bars, and how much of the whole they make up together.

    Args:
        table: With columns ``group`` and ``value``, as
            :func:`~kiwinb.inspect.breakdown.breakdown` gives it.
        value: The column with the sizes in bytes.
        title: Above the picture; says what it shows when empty.
        limit: Groups that get a bar; the others share the last one.

    Raises:
        InspectError: There is nothing in it.
    """
    rows, total = _largest(table, value, limit)
    names = [_shortened(name) for name, _ in rows]
    sizes = np.array([size for _, size in rows], dtype=float)
    picture = Picture(height=1.4 + 0.24 * len(rows))
    axes = picture.add_subplot()
    places = np.arange(len(rows), dtype=float)
    others = len(rows) < len(table)
    axes.barh(places, sizes, color=[OKABE_ITO[4]] * (len(rows) - others) + [_OTHERS] * others)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, sizes.max() * 1.18)
    _binary_ticks(axes.xaxis, 0, sizes.max())
    axes.set_xlabel(f"{value} (bars)", color=_INK)
    shared = axes.twiny()
    named = len(rows) - others
    shares = 100 * np.cumsum(sizes)[:named] / total
    shared.plot(
        shares, places[:named], color=OKABE_ITO[5], marker="o", markersize=3.5, linewidth=1.5
    )
    shared.set_xlim(0, 112)
    for place, size in zip(places, sizes, strict=True):
        shared.text(
            size + sizes.max() * 0.008,
            place,
            binary(size),
            va="center",
            fontsize=8,
            color=_INK,
            transform=axes.transData,
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.8},
        )
    shared.set_xticks(range(0, 101, 20), [f"{share} %" for share in range(0, 101, 20)])
    shared.set_xlabel("all up to here together (line)", color=OKABE_ITO[5])
    axes.set_title(title or f"{binary(total)} in {len(table)} groups", color=_INK)
    axes.spines["right"].set_visible(False)
    shared.spines["right"].set_visible(False)
    return picture


def diff_bars(
    difference: Difference,
    of: Literal["packages", "directories"] = "packages",
    *,
    title: str = "",
    limit: int = 25,
) -> Picture:
    """The largest gains and losses of a difference, as bars to the right and to the left.

    Args:
        difference: Of two trees.
        of: ``packages`` by what they say they take; or ``directories`` (two levels) by the bytes
            in files.
        title: Above the picture; says what it shows when empty.
        limit: Bars at most.

    Raises:
        InspectError: Nothing changed that has a size.
    """
    changes = _package_deltas(difference) if of == "packages" else _directory_deltas(difference)
    changes = changes[changes["delta"].ne(0)]
    if changes.empty:
        raise _nothing(f"the difference of {difference.before} and {difference.after}")
    order = changes["delta"].abs().sort_values(ascending=False, kind="stable").index
    rows = changes.loc[order[:limit]].sort_values("delta", ascending=False, kind="stable")
    deltas = rows["delta"].to_numpy(dtype=float)
    total = int(changes["delta"].sum())
    picture = Picture(height=1.4 + 0.24 * len(rows))
    axes = picture.add_subplot()
    places = np.arange(len(rows), dtype=float)
    colours = [_GAIN if delta > 0 else _LOSS for delta in deltas]
    bars = axes.barh(places, deltas, color=colours)
    for bar, delta in zip(bars, deltas, strict=True):
        bar.set_hatch("" if delta > 0 else "///")
        bar.set_edgecolor("white")
    axes.set_yticks(places, [_shortened(name) for name in rows["name"]])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    least, most = min(0.0, deltas.min()), max(0.0, deltas.max())
    room = 0.30 * (most - least)
    axes.set_xlim(least - (room if least else 0), most + (room if most else 0))
    _binary_ticks(axes.xaxis, least, most, sign=True)
    for place, delta, said in zip(places, deltas, rows["change"], strict=True):
        axes.text(
            delta,
            place,
            f" {signed(delta)} {said} ",
            va="center",
            ha="left" if delta > 0 else "right",
            fontsize=8,
            color=_INK,
        )
    axes.axvline(0, color=_INK, linewidth=0.8)
    left_out = len(changes) - len(rows)
    more = f", {left_out} smaller ones not shown" if left_out else ""
    axes.set_title(title or f"{signed(total)} by {of}{more}", color=_INK)
    for side in ("right", "top", "left"):
        axes.spines[side].set_visible(False)
    return picture


def _package_deltas(difference: Difference) -> pd.DataFrame:
    known = difference.packages[difference.packages["delta"].notna()]
    twice = known["name"].duplicated(keep=False)
    names = known["name"].where(~twice, known["name"] + ":" + known["arch"])
    return pd.DataFrame(
        {"name": names, "delta": known["delta"].astype("int64"), "change": known["change"]}
    ).reset_index(drop=True)


def _directory_deltas(difference: Difference) -> pd.DataFrame:
    files = difference.files
    table = pd.DataFrame({"path": files["path"], "type": "file", "delta": files["delta"]})
    summed = table.groupby(directories(table, 2))["delta"].sum()
    return pd.DataFrame({"name": summed.index, "delta": summed.to_numpy(), "change": ""})


def _largest(table: pd.DataFrame, value: str, limit: int) -> tuple[list[tuple[str, int]], int]:
    """The largest groups, one for all others, and the sum."""
    known = table[table[value].notna() & table[value].gt(0)]
    known = known.sort_values(value, ascending=False, kind="stable")
    if known.empty:
        raise _nothing(f"the column {value}")
    sizes = [int(size) for size in known[value]]
    rows = list(zip((str(name) for name in known["group"]), sizes, strict=True))
    if len(rows) > limit + 1:
        rest = rows[limit:]
        rows = [*rows[:limit], (f"{len(rest)} others", sum(size for _, size in rest))]
    return rows, sum(sizes)


def _directory_sizes(
    inside: pd.DataFrame, under: str, depth: int, value: str
) -> list[dict[str, int]]:
    """Sizes of the directories of each level; files that lie in a higher one are left out."""
    levels = [{under: int(inside[value].sum())}]
    start = under.count("/") if under != "/" else 0
    for level in range(1, depth + 1):
        cut = directories(inside, level, under)
        summed = inside[value].groupby(cut).sum()
        wanted = start + level
        levels.append(
            {
                str(path): int(size)
                for path, size in summed.items()
                if str(path).count("/") == wanted and path != under and size > 0
            }
        )
    return levels


def _nothing(what: str) -> InspectError:
    return InspectError(f"there is nothing to draw: {what} has no bytes in it")


def _bare(picture: Picture, title: str) -> Axes:
    axes = picture.add_subplot()
    axes.set_title(title, color=_INK)
    axes.set_axis_off()
    return axes


def _draw(
    picture: Picture,
    axes: Axes,
    boxes: Sequence[_LabelledBox],
    across: tuple[float, float],
    up: tuple[float, float],
) -> None:
    for box in boxes:
        axes.add_patch(
            Rectangle(
                (box.left, box.bottom),
                box.width,
                box.height,
                facecolor=box.colour,
                edgecolor="white",
                linewidth=0.8 if box.width > 0.004 * across[1] else 0.3,
            )
        )
    axes.set_xlim(*across)
    axes.set_ylim(*up)
    _write_labels(picture, axes, boxes)


def _amounts(sizes: Sequence[int]) -> list[_Colour]:
    """Colours by size, the largest darkest."""
    roots = np.sqrt(np.array(sizes, dtype=float))
    palette = colormaps["cividis"]
    return [to_rgb(palette(0.95 - 0.85 * root / roots.max())) for root in roots]


def _lighter(colour: _Colour, by: float) -> _Colour:
    red, green, blue = (part + (1 - part) * by for part in colour)
    return red, green, blue


def _write_labels(picture: Picture, axes: Axes, labels: Iterable[_LabelledBox]) -> None:
    """Write in each box the first of its texts that fits, or none; upright if need be."""
    picture.draw_without_rendering()  # so that the axes have their final size
    for box in labels:
        (left, bottom), (right, top) = axes.transData.transform(
            [(box.left, box.bottom), (box.left + box.width, box.bottom + box.height)]
        )
        width, height = abs(right - left) - 6, abs(top - bottom) - 4
        if max(width, height) < 12 or min(width, height) < 10:
            continue
        text = axes.text(
            box.left + box.width / 2,
            box.bottom + box.height / 2,
            "",
            ha="center",
            va="center",
            color=_ink_on(box.colour),
            parse_math=False,
        )
        for said, rotation, size in product(box.texts, (0, 90), _FONT_SIZES):
            if rotation and width > height:
                continue
            text.set(text=said, rotation=rotation, fontsize=size)
            extent = text.get_window_extent()
            if extent.width <= width and extent.height <= height:
                break
        else:
            text.remove()


def _ink_on(colour: _Colour) -> str:
    red, green, blue = colour
    return "white" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.45 else "#111111"


def _shortened(name: str, length: int = 38) -> str:
    return name if len(name) <= length else f"{name[: length // 2 - 1]}…{name[-length // 2 :]}"


def _binary_ticks(axis: Axis, least: float, most: float, *, sign: bool = False) -> None:
    """Ticks at round numbers of one binary unit."""
    span = max(most - least, 1.0)
    unit, name = 1.0, "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if span / unit < 1500:
            break
        unit, name = unit * 1024, larger
    steps = [base * 10.0**power for power in range(-1, 5) for base in (1, 2, 5)]
    step = next((step for step in steps if span / unit / step <= 6), steps[-1])
    first, last = int(np.floor(least / unit / step)), int(np.floor(most / unit / step))
    axis.set_major_locator(FixedLocator([n * step * unit for n in range(first, last + 1)]))

    def text(value: float, _position: Any) -> str:
        return f"{value / unit:{'+' if sign and value else ''}g} {name}"

    axis.set_major_formatter(FuncFormatter(text))
