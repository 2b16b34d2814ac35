"""The files of a description directory that a build reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from descriptions import document

from kiwinb.description.select import select
from kiwinb.description.sources import read_sources

PROFILES = """
<profiles>
  <profile name="a" description="A"><requires profile="base"/></profile>
  <profile name="base" description="Base"/>
  <profile name="b" description="B"/>
</profiles>
"""


@pytest.mark.parametrize(
    ("profiles", "expected"),
    [
        ((), ["root"]),
        (("a", "b"), ["root", "a", "base", "b"]),
        (("b", "a"), ["root", "b", "a", "base"]),
    ],
)
def test_overlays_in_the_order_of_the_profiles(
    tmp_path: Path, profiles: tuple[str, ...], expected: list[str]
) -> None:
    for name in ("root", "a", "b", "base"):
        (tmp_path / name).mkdir()
    image = select(document(tmp_path, PROFILES), profiles=profiles)
    found = read_sources(image, tmp_path / "cache").overlays
    assert [source.path.name for source in found] == expected


def test_an_archive_only_without_a_directory(tmp_path: Path) -> None:
    (tmp_path / "root.tar.gz").write_bytes(b"")
    image = select(document(tmp_path))
    assert [source.path.name for source in read_sources(image, tmp_path / "cache").overlays] == [
        "root.tar.gz"
    ]
    (tmp_path / "root").mkdir()
    assert [source.path.name for source in read_sources(image, tmp_path / "cache").overlays] == [
        "root"
    ]
