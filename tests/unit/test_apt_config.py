"""The configuration of apt in directories with strange names."""

from __future__ import annotations

from pathlib import Path

import pytest

from kiwinb.errors import HostError
from kiwinb.packages.apt.config import AptConfig


def _written(work: Path) -> Path:
    work.mkdir()
    config = AptConfig(work, work / "lists", work / "sources", "amd64")
    config.write()
    return config.file


@pytest.mark.parametrize("name", ['a"b', "a\nb"])
def test_a_cache_that_apt_cannot_be_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="apt cannot use the download cache") as caught:
        _written(tmp_path / name)
    assert "KIWINB_CACHE" in str(caught.value)


@pytest.mark.parametrize("name", ["a b", "a;b{}", "\udcff", "ä"])
def test_other_names_are_no_problem(name: str, tmp_path: Path) -> None:
    file = _written(tmp_path / name)
    text = file.read_text(errors="surrogateescape")
    assert f'Dir::State::lists "{tmp_path / name}/lists/";' in text.splitlines()
