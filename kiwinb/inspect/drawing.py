"""Tools for drawing: colours, labelled boxes, and ticks in binary units."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter

from kiwinb.errors import InspectError
from kiwinb.visible import visible

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""Eight colours that colour-blind people can distinguish, too."""


_Colour = tuple[float, float, float]


class LabelledBox(NamedTuple):
    """A rectangle, and texts of which the first one that fits is written in it."""

    left: float
    bottom: float
    width: float
    height: float
    colour: _Colour
    texts: tuple[str, ...]


INK = "#222222"


_FONT_SIZES = (10.0, 8.5, 7.0)


_WIDTH, _HEIGHT, _DPI = 9.0, 5.5, 120


class Picture(Figure):
    """A figure that notebooks show even if pyplot was not imported."""

    def __init__(self, width: float = _WIDTH, height: float = _HEIGHT) -> None:
        super().__init__(figsize=(width, height), dpi=_DPI, layout="constrained")
        FigureCanvasAgg(self)

    def draw(self, renderer: RendererBase) -> None:
        """Draw, with all texts as they are: dollars in them do not begin a formula.

        The fonts lack many characters that names can have; their places show a box.
        """
        for text in self.findobj(Text):
            assert isinstance(text, Text)
            text.set_parse_math(False)
            text.set_text(visible(text.get_text(), lines=True))
        with _any_glyphs():
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        return self.png()

    def png(self) -> bytes:
        """Return the picture as a PNG file."""
        data = io.BytesIO()
        self.savefig(data, format="png")
        return data.getvalue()


@contextmanager
def _any_glyphs() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+", UserWarning)
        yield


def nothing_to_draw(what: str) -> InspectError:
    """Make the error for an empty picture."""
    return InspectError(f"there is nothing to draw: {what} has no bytes in it")


def bare_axes(picture: Picture, title: str) -> Axes:
    """Add axes to a picture that show only a title."""
    axes = picture.add_subplot()
    axes.set_title(title, color=INK)
    axes.set_axis_off()
    return axes


def draw_boxes(
    picture: Picture,
    axes: Axes,
    boxes: Sequence[LabelledBox],
    across: tuple[float, float],
    up: tuple[float, float],
) -> None:
    """Draw rectangles and their texts."""
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


def colours_by_size(sizes: Sequence[int]) -> list[_Colour]:
    """Return a colour for each size, from light to dark."""
    roots = np.sqrt(np.array(sizes, dtype=float))
    palette = colormaps["cividis"]
    return [to_rgb(palette(0.95 - 0.85 * root / roots.max())) for root in roots]


def lighter(colour: _Colour, by: float) -> _Colour:
    """Mix a colour with white; ``by`` is the share of white, from 0.0 to 1.0."""
    red, green, blue = (part + (1 - part) * by for part in colour)
    return red, green, blue


def _write_labels(picture: Picture, axes: Axes, labels: Iterable[LabelledBox]) -> None:
    """Write the first text that fits into each box, if any, rotated if necessary."""
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
            with _any_glyphs():
                extent = text.get_window_extent()
            if extent.width <= width and extent.height <= height:
                break
        else:
            text.remove()


def _ink_on(colour: _Colour) -> str:
    red, green, blue = colour
    return "white" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.45 else "#111111"


def shortened(name: str, length: int = 38) -> str:
    """Shorten a name to a length by removing its middle."""
    name = visible(name)
    return name if len(name) <= length else f"{name[: length // 2 - 1]}…{name[-length // 2 :]}"


def binary_ticks(axis: Axis, least: float, most: float, *, sign: bool = False) -> None:
    """Set ticks at round numbers of a binary unit.

    Args:
        axis: The axis, in bytes.
        least: The smallest value.
        most: The largest value.
        sign: Whether to write a plus sign before positive numbers.
    """
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
