import itertools
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from inspect_trees import Deb, MemoryTree, database
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

from kiwinb.errors import InspectError
from kiwinb.inspect.diff import diff
from kiwinb.inspect.files import files
from kiwinb.inspect.plot import OKABE_ITO, Picture, diff_bars, icicle, pareto, treemap

Floats = npt.NDArray[np.float64]
PNG = b"\x89PNG\r\n\x1a\n"


def sizes(count: int) -> pd.DataFrame:
    names = [f"package-with-a-name-{number}" for number in range(count)]
    return pd.DataFrame({"group": names, "usage": [3 << 27 >> min(n, 26) for n in range(count)]})


def boxes_of_labels(picture: Picture) -> list[Bbox]:
    picture.draw_without_rendering()
    (axes,) = picture.axes
    return [text.get_window_extent() for text in axes.texts if text.get_text()]


def rectangles(axes: Axes) -> list[Rectangle]:
    found = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert len(found) == len(axes.patches)
    return found


def assert_apart(boxes: list[Bbox]) -> None:
    for number, box in enumerate(boxes):
        for other in boxes[number + 1 :]:
            overlap = (
                min(box.x1, other.x1) - max(box.x0, other.x0) > 0
                and min(box.y1, other.y1) - max(box.y0, other.y0) > 0
            )
            assert not overlap


def test_treemap_areas_are_the_sizes_and_labels_do_not_overlap() -> None:
    picture = treemap(sizes(30))
    (axes,) = picture.axes
    areas = [bar.get_width() * bar.get_height() for bar in rectangles(axes)]
    expected = sizes(30)["usage"]
    np.testing.assert_allclose(areas, 1.5 * expected / expected.sum(), rtol=1e-6)
    labels = boxes_of_labels(picture)
    assert 4 < len(labels) < 30  # those of the smallest are dropped
    assert_apart(labels)
    assert picture.png().startswith(PNG)


def test_treemap_puts_the_smallest_together() -> None:
    picture = treemap(sizes(20), limit=5)
    texts = [text.get_text() for text in picture.axes[0].texts]
    assert any(text.startswith("15 others\n") for text in texts)
    assert len(picture.axes[0].patches) == 6


def test_icicle_rows_are_as_wide_as_the_directories_are_large() -> None:
    tree = MemoryTree(
        {"/usr/lib/a": b"x" * 300_000, "/usr/bin/b": b"x" * 100_000, "/etc/c": b"x" * 4096}
    )
    table = files(tree)
    picture = icicle(table, depth=2)
    widths = sorted(bar.get_width() for bar in rectangles(picture.axes[0]))[::-1]
    total = table["usage"].sum()
    inside = [
        table.loc[table["path"].str.startswith(path), "usage"].sum() / total
        for path in ("/", "/usr/", "/usr/lib/", "/usr/bin/", "/etc/")
    ]
    np.testing.assert_allclose(widths, inside, rtol=1e-6)
    assert_apart(boxes_of_labels(picture))
    assert {text.get_text().split("\n")[0] for text in picture.axes[0].texts} >= {"/", "usr", "lib"}
    assert icicle(table, under="/usr", depth=1).png().startswith(PNG)


def test_pareto_shares_grow_to_what_the_bars_have() -> None:
    picture = pareto(sizes(40), limit=10)
    line = np.asarray(picture.axes[1].lines[0].get_xdata(), float)
    table = sizes(40)["usage"]
    np.testing.assert_allclose(line, 100 * table[:10].cumsum() / table.sum())
    labels = [tick.get_text() for tick in picture.axes[0].get_yticklabels()]
    assert labels[-1] == "30 others"
    picture.draw_without_rendering()
    ticks = [tick.get_text() for tick in picture.axes[0].get_xticklabels()]
    assert ticks[:2] == ["0 MiB", "100 MiB"]
    assert picture.png().startswith(PNG)


def test_bars_of_a_difference() -> None:
    a = database(Deb("gone", size=9000), Deb("up", "1", size=100), Deb("same"))
    b = database(Deb("new", size=5000), Deb("up", "2", size=200), Deb("same"))
    files_a, files_b = {"/usr/lib/a": b"x" * 9000}, {"/usr/lib/b": b"x"}
    found = diff(MemoryTree({**a, **files_a}), MemoryTree({**b, **files_b}))
    picture = diff_bars(found)
    widths = [bar.get_width() for bar in rectangles(picture.axes[0])]
    assert widths == [5000 * 1024, 100 * 1024, -9000 * 1024]
    texts = [text.get_text().strip() for text in picture.axes[0].texts]
    assert texts == ["+4.9 MiB added", "+100.0 KiB upgraded", "-8.8 MiB removed"]
    assert_apart(boxes_of_labels(picture))
    names = [
        label.get_text() for label in diff_bars(found, "directories").axes[0].get_yticklabels()
    ]
    assert "/usr/lib" in names


@pytest.mark.parametrize("draw", [treemap, pareto])
def test_nothing_to_draw(draw: Callable[[pd.DataFrame], Picture]) -> None:
    with pytest.raises(InspectError, match="nothing to draw"):
        draw(sizes(0))


def test_a_notebook_shows_it_without_pyplot() -> None:
    assert treemap(sizes(3))._repr_png_().startswith(PNG)
    script = "import sys, kiwinb.inspect.plot; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


# Machado, Oliveira, Fernandes 2009: what linear RGB becomes for those who lack one kind of cones.
PROTANOPIA = [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
DEUTERANOPIA = [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]


@pytest.mark.parametrize("seen", [np.eye(3), np.array(PROTANOPIA), np.array(DEUTERANOPIA)])
def test_the_colours_are_apart_for_the_colour_blind(seen: Floats) -> None:
    colours = [np.cbrt((seen @ _linear(colour)).clip(0)) for colour in OKABE_ITO]
    distances = [np.linalg.norm(a - b) for a, b in itertools.combinations(colours, 2)]
    assert min(distances) > 0.1  # of 1.7 between black and white


def _linear(colour: str) -> Floats:
    values = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
