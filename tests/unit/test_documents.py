"""The documents that the code writes are up to date."""

from __future__ import annotations

from pathlib import Path

import pytest

from kiwinb.cli import documents


@pytest.mark.parametrize("name", documents.DOCUMENTS)
def test_a_document_is_what_the_code_says(name: str) -> None:
    assert (documents.DIRECTORY / name).read_text() == documents.text(name), (
        "python -m kiwinb.cli.documents writes it anew"
    )


def test_they_are_checked_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(documents, "DIRECTORY", tmp_path)
    assert documents.main(["--check"]) == 1
    assert not list(tmp_path.iterdir())
    assert documents.main([]) == 0
    assert {path.name for path in tmp_path.iterdir()} == set(documents.DOCUMENTS)
    assert documents.main(["--check"]) == 0
    (tmp_path / "cli.md").write_text("# Old\n")
    capsys.readouterr()
    assert documents.main(["--check"]) == 1
    assert f"{tmp_path}/cli.md: out of date\n" in capsys.readouterr().err
    assert documents.main(["--all"]) == 2
