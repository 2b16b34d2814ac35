"""Layers that are cheap to write and dear to apply: whiteouts, links, directories."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from test_archive_damage import layout

from kiwinb.images.container.layers import apply_layer
from kiwinb.inspect.formats import open_tree

MANY = 2000
MOST_SECONDS = 8
"""Processor time for some thousands of entries, twice."""


def tar(entries: Iterable[tuple[str, str]]) -> bytes:
    """An archive of empty files, directories (``/``) and links to a target."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as made:
        for name, target in entries:
            info = tarfile.TarInfo(name)
            if target == "/":
                info.type = tarfile.DIRTYPE
            elif target:
                info.type, info.linkname = tarfile.SYMTYPE, target
            made.addfile(info)
    return file.getvalue()


def paths(number: int, folder: str = "d") -> list[tuple[str, str]]:
    return [(f"{folder}/file-{item}", "") for item in range(number)]


BOMBS = {
    "opaque, again and again": [
        *paths(MANY),
        *[("d/.wh..wh..opq", "")] * MANY,
    ],
    "the directory, again and again": [*paths(MANY), *[(".wh.d", "")] * MANY],
    "opaque at each level": [
        *paths(MANY, "d/" * 100 + "d"),
        *((f"{'d/' * level}.wh..wh..opq", "") for level in range(1, 100)),
    ],
    "each file of the layer below": [(f"d/.wh.file-{item}", "") for item in range(MANY)],
    "links through links": [
        *((f"l{item}", f"{'./' * 300}l{item + 1}") for item in range(35)),
        ("l35", "d"),
        *((f"l0/{item}/x", "") for item in range(MANY // 2)),
    ],
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("what", BOMBS)
def test_a_layer_takes_no_longer_than_its_entries(what: str, tmp_path: Path) -> None:
    lower, upper = tar(paths(MANY)), tar(BOMBS[what])
    root = tmp_path / "root"
    root.mkdir()
    began = time.process_time()
    for data in (lower, upper):
        apply_layer(io.BytesIO(data), root)
    with open_tree(layout(tmp_path / "layout", [lower, upper], [lower, upper])) as tree:
        table = tree.scan()
    assert time.process_time() - began < MOST_SECONDS
    here = {"/" + path.relative_to(root).as_posix() for path in root.rglob("*")} | {"/"}
    listed = {path.removesuffix("/") or "/" for path in table["path"]}
    assert listed >= {path for path in here if (root / path[1:]).is_file()}
    assert listed <= here


def test_whiteouts_hide_only_what_is_below(tmp_path: Path) -> None:
    """What a layer has itself stays, wherever its whiteouts are; both readers say the same."""
    lower = tar(
        [("a/b/old", ""), ("a/b/c/old", ""), ("a/old", ""), ("b/old", ""), ("f", ""), ("g/x", "")]
    )
    upper = tar(
        [
            ("a/b/new", ""),
            ("a/.wh..wh..opq", ""),
            ("a/late", ""),
            ("a/b/c/late", ""),
            (".wh.b", ""),
            ("b/new", ""),
            (".wh.f", ""),
            ("f", "/"),
            ("f/inside", ""),
            ("g", ""),
        ]
    )
    root = tmp_path / "root"
    root.mkdir()
    for data in (lower, upper):
        apply_layer(io.BytesIO(data), root)
    found = {"/" + path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    wanted = {"/a/b/new", "/a/late", "/a/b/c/late", "/b/new", "/f/inside", "/g"}
    assert found == wanted
    with open_tree(layout(tmp_path / "layout", [lower, upper], [lower, upper])) as tree:
        table = tree.scan()
    assert set(table[table["type"] == "file"]["path"]) == wanted
