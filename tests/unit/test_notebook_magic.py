"""``%%kiwi``: valid descriptions are written, others are not."""

from __future__ import annotations

from pathlib import Path

import descriptions
import pytest
from IPython.core.interactiveshell import InteractiveShell

import kiwinb
from kiwinb.errors import DescriptionError, DescriptionErrors
from kiwinb.notebook.magic import kiwi


@pytest.fixture
def valid(tmp_path: Path) -> str:
    (tmp_path / "other").mkdir()
    return descriptions.document(tmp_path / "other").file.read_text()


def test_a_valid_description_is_written(
    valid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new/config.xml"
    kiwi(str(file), "\n" + valid)
    assert file.read_text() == valid
    assert file.stat().st_mode & 0o777 == 0o644
    assert capsys.readouterr().out == f"{file} is a valid description of test.\n"
    file.chmod(0o600)
    kiwi(f'"{file.parent}"', valid.replace('name="test"', 'name="again"'))
    assert 'name="again"' in file.read_text() and file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_the_only_kiwi_file_of_a_directory_is_taken(valid: str, tmp_path: Path) -> None:
    (tmp_path / "my.kiwi").write_text("old")
    kiwi(str(tmp_path), valid)
    assert (tmp_path / "my.kiwi").read_text() == valid


def test_what_is_not_valid_leaves_the_file_alone(valid: str, tmp_path: Path) -> None:
    file = tmp_path / "config.xml"
    file.write_text("before")
    wrong = valid.replace("filesystem=", "filesytem=").replace("<version>", "<vershion>")
    wrong = wrong.replace("</version>", "</vershion>")
    for text in (wrong, valid.replace("filesystem=", "filesytem="), "<image", ""):
        with pytest.raises(DescriptionError) as caught:
            kiwi(str(file), text)
        errors = getattr(caught.value, "errors", (caught.value,))
        assert {error.location and error.location.file for error in errors} == {file}
        assert ".config.xml." not in str(caught.value)
        assert file.read_text() == "before"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["config.xml", "other"]
    with pytest.raises(DescriptionErrors):
        kiwi(str(file), wrong)


def test_places_that_cannot_be_written_to(valid: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for line in ("", f"{tmp_path}/file/config.xml"):
        with pytest.raises(DescriptionError):
            kiwi(line, valid)


def test_the_extension_registers_it(
    valid: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)  # IPython warns if it is another one
    shell = InteractiveShell()
    kiwinb.load_ipython_extension(shell)
    shell.run_cell(f"%%kiwi {tmp_path}/config.xml\n{valid}")
    assert (tmp_path / "config.xml").read_text().strip() == valid.strip()
