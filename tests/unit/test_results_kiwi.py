"""The names and properties of result files are those of KIWI NG."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from plugin_registries import plan_with

from kiwinb.images import IMAGE_KINDS
from kiwinb.images.formats import FORMATS
from kiwinb.images.kind import ResultFile

KIWI: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data/kiwi-11.1-results.json").read_text()
)
NAME = "test.x86_64-1.0.0"


def result(of: dict[str, Any], tag: str, step: str, **properties: bool) -> ResultFile:
    """The file that KIWI NG would write."""
    return ResultFile(tag, step, NAME + of["suffix"], compress=of["compress"], **properties)


@pytest.mark.parametrize("kind", IMAGE_KINDS)
def test_files_of_an_image(kind: str, tmp_path: Path) -> None:
    image, *texts = plan_with(tmp_path, IMAGE_KINDS.sort, kind).results
    assert image == result(KIWI["images"][kind], KIWI["images"][kind]["tag"], image.step)
    assert texts == [
        result(text, tag, texts[0].step, shasum=False) for tag, text in KIWI["texts"].items()
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_files_of_a_disk_format(name: str, tmp_path: Path) -> None:
    raw, disk, *_texts = plan_with(tmp_path, FORMATS.sort, name).results
    assert raw == result(KIWI["images"]["oem"], "disk_image", raw.step, use_for_bundle=False)
    assert disk == result(KIWI["formats"][name], "disk_format_image", disk.step)
