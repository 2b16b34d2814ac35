from pathlib import Path

import pytest

from kiwinb.paths import normalised


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("notebooks/../out", "out"),
        ("./out/", "out"),
        ("../out", "../out"),
        ("a/../../out", "../out"),
        ("a/..", "."),
        ("/a/b/../c", "/a/c"),
        ("/../a", "/a"),
        ("/a/./b//c", "/a/b/c"),
    ],
)
def test_paths_are_normalised(
    named: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert normalised(named) == Path(expected)


def test_a_path_leads_where_it_led(tmp_path: Path) -> None:
    (tmp_path / "there/inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("there/inner")
    assert normalised(tmp_path / "link/file") == tmp_path / "link/file"
    assert normalised(tmp_path / "link/../file") == tmp_path / "there/file"
    (tmp_path / "link/below").mkdir()
    assert normalised(tmp_path / "link/below/../file") == tmp_path / "link/file"
