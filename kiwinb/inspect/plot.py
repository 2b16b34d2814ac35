"""Draw sizes as a treemap, an icicle or a Pareto chart, and a difference as bars.

Colour-blind people can distinguish the colours: the palette of Okabe and Ito
(https://jfly.uni-koeln.de/color/), and cividis for amounts. Labels are drawn where they fit.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
import squarify
from matplotlib.colors import to_rgb

from kiwinb.inspect.breakdown import directories
from kiwinb.inspect.diff import Difference
from kiwinb.inspect.drawing import (
    INK,
    OKABE_ITO,
    LabelledBox,
    Picture,
    bare_axes,
    binary_ticks,
    colours_by_size,
    draw_boxes,
    lighter,
    nothing_to_draw,
    shortened,
)
from kiwinb.sizes import binary, signed
from kiwinb.visible import visible

__all__ = ["OKABE_ITO", "Picture", "diff_bars", "icicle", "pareto", "treemap"]

_GAIN, _LOSS = OKABE_ITO[1], OKABE_ITO[0]
_OTHERS = "#bbbbbb"


def treemap(
    table: pd.DataFrame, *, value: str = "usage", title: str = "", limit: int = 60
) -> Picture:
    """Draw groups as rectangles whose areas are their sizes.

    Args:
        table: Table with the columns ``group`` and ``value``, such as that of
            :func:`~kiwinb.inspect.breakdown.breakdown`.
        value: Name of the column with the sizes in bytes.
        title: Title; by default, the total and the number of groups.
        limit: Number of groups that get their own rectangle; the others share one.

    Raises:
        InspectError: There is nothing to draw.
    """
    rows, total = _largest(table, value, limit)
    picture = Picture()
    axes = bare_axes(picture, title or f"{binary(total)} in {len(table)} groups")
    sizes = squarify.normalize_sizes([size for _, size in rows], 1.5, 1)
    colours = colours_by_size([size for _, size in rows])
    boxes = [
        LabelledBox(
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
    draw_boxes(picture, axes, boxes, (0, 1.5), (0, 1))
    return picture


def icicle(
    files: pd.DataFrame, *, under: str = "/", depth: int = 4, value: str = "usage", title: str = ""
) -> Picture:
    """Draw directories as rows of bars, each below its parent and as wide as its size.

    Args:
        files: Table from :func:`~kiwinb.inspect.files.files`.
        under: The directory at the top.
        depth: Number of rows below it.
        value: Name of the column with the sizes in bytes.
        title: Title; by default, the total and the directory.

    Raises:
        InspectError: There is nothing to draw.
    """
    prefix = "/" if under == "/" else f"{under}/"
    inside = files[files["path"].str.startswith(prefix) | files["path"].eq(under)]
    total = int(inside[value].sum())
    if total <= 0:
        raise nothing_to_draw(under)
    sizes = _directory_sizes(inside, under, depth, value)
    picture = Picture()
    axes = bare_axes(picture, title or f"{binary(total)} in {under} by directory")
    colours = {under: to_rgb("#dddddd")}
    boxes: list[LabelledBox] = []
    todo: list[tuple[str, float, int]] = [(under, 0.0, 0)]
    while todo:
        path, left, level = todo.pop()
        width = sizes[level][path] / total
        name = visible(path if level == 0 else path.rpartition("/")[2])
        texts = (f"{name}\n{binary(sizes[level][path])}", name)
        boxes.append(LabelledBox(left, float(-level - 1), width, 1.0, colours[path], texts))
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
            colours[child] = lighter(to_rgb(base), 0.15 if level == 0 else 0.22)
            todo.append((child, left, level + 1))
            left += size / total
    draw_boxes(picture, axes, boxes, (0, 1), (-depth - 1, 0))
    return picture


def pareto(
    table: pd.DataFrame, *, value: str = "usage", title: str = "", limit: int = 20
) -> Picture:
    """Draw the largest groups as bars, and their cumulative share of the total as a line.

    Args:
        table: Table with the columns ``group`` and ``value``, such as that of
            :func:`~kiwinb.inspect.breakdown.breakdown`.
        value: Name of the column with the sizes in bytes.
        title: Title; by default, the total and the number of groups.
        limit: Number of groups that get their own bar; the others share the last one.

    Raises:
        InspectError: There is nothing to draw.
    """
    rows, total = _largest(table, value, limit)
    names = [shortened(name) for name, _ in rows]
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
    binary_ticks(axes.xaxis, 0, sizes.max())
    axes.set_xlabel(f"{value} (bars)", color=INK)
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
            color=INK,
            transform=axes.transData,
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.8},
        )
    shared.set_xticks(range(0, 101, 20), [f"{share} %" for share in range(0, 101, 20)])
    shared.set_xlabel("all up to here together (line)", color=OKABE_ITO[5])
    axes.set_title(title or f"{binary(total)} in {len(table)} groups", color=INK)
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
    """Draw the largest gains and losses of a difference as bars to the right and to the left.

    Args:
        difference: Difference of two trees.
        of: ``packages`` by the sizes that they state, or ``directories`` (two levels) by the bytes
            in files.
        title: Title; by default, the total and the number of changes that are not shown.
        limit: Largest number of bars.

    Raises:
        InspectError: No sizes changed.
    """
    changes = _package_deltas(difference) if of == "packages" else _directory_deltas(difference)
    changes = changes[changes["delta"].ne(0)]
    if changes.empty:
        raise nothing_to_draw(f"the difference of {difference.before} and {difference.after}")
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
    axes.set_yticks(places, [shortened(name) for name in rows["name"]])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    least, most = min(0.0, deltas.min()), max(0.0, deltas.max())
    room = 0.30 * (most - least)
    axes.set_xlim(least - (room if least else 0), most + (room if most else 0))
    binary_ticks(axes.xaxis, least, most, sign=True)
    for place, delta, said in zip(places, deltas, rows["change"], strict=True):
        axes.text(
            delta,
            place,
            f" {signed(delta)} {said} ",
            va="center",
            ha="left" if delta > 0 else "right",
            fontsize=8,
            color=INK,
        )
    axes.axvline(0, color=INK, linewidth=0.8)
    left_out = len(changes) - len(rows)
    more = f", {left_out} smaller ones not shown" if left_out else ""
    axes.set_title(title or f"{signed(total)} by {of}{more}", color=INK)
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
    """Return the largest groups with one for all others, and the sum."""
    known = table[table[value].notna() & table[value].gt(0)]
    known = known.sort_values(value, ascending=False, kind="stable")
    if known.empty:
        raise nothing_to_draw(f"the column {value}")
    sizes = [int(size) for size in known[value]]
    rows = list(zip((visible(str(name)) for name in known["group"]), sizes, strict=True))
    if len(rows) > limit + 1:
        rest = rows[limit:]
        rows = [*rows[:limit], (f"{len(rest)} others", sum(size for _, size in rest))]
    return rows, sum(sizes)


def _directory_sizes(
    inside: pd.DataFrame, under: str, depth: int, value: str
) -> list[dict[str, int]]:
    """Return the sizes of directories by level, without files that are in a higher level."""
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
