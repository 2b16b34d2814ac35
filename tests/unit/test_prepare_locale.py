"""The language of a tree: one that it has, in whichever form."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from kiwinb.prepare.identity import SetIdentity
from kiwinb.steps.step import HostPaths, StepContext

LOCALES = "usr/lib/locale"


def _language(root: Path, locale: str) -> tuple[str, list[str]]:
    """What the tree's language becomes, and what is logged."""
    said: list[str] = []
    (root / "etc").mkdir(parents=True, exist_ok=True)
    (root / "etc/os-release").write_text("ID=fedora\n")
    context = StepContext(
        root, None, {}, HostPaths(root.parent), said.append, lambda done: None, rootless=False
    )
    SetIdentity("image", locale=(locale,)).run(context)
    return (root / "etc/locale.conf").read_text(), said


def _directory(root: Path, name: str) -> Path:
    place = root / LOCALES / f"{name}.utf8"
    shutil.copytree("/usr/lib/locale/C.utf8", place)
    return place


def test_a_locale_with_a_directory(tmp_path: Path) -> None:
    _directory(tmp_path, "de_DE")
    assert _language(tmp_path, "de_DE") == ("LANG=de_DE.UTF-8\n", [])


@pytest.mark.needs("localedef")
def test_a_locale_in_the_archive(tmp_path: Path) -> None:
    """Fedora's package with all languages has no directories."""
    directory = _directory(tmp_path, "de_DE")
    argv: list[str | Path] = ["localedef", f"--prefix={tmp_path}", "--add-to-archive", directory]
    subprocess.run(argv, check=True)
    shutil.rmtree(directory)
    assert _language(tmp_path, "de_DE") == ("LANG=de_DE.UTF-8\n", [])
    language, (said,) = _language(tmp_path, "fr_FR")
    assert language == "LANG=C.UTF-8\n"
    assert "no locale fr_FR.UTF-8" in said and "glibc-langpack-en" in said


def test_a_locale_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / LOCALES).mkdir(parents=True)
    (tmp_path / LOCALES / "locale-archive").touch()
    language, (said,) = _language(tmp_path, "de_DE")
    assert (language, said.startswith("the tree has no locale")) == ("LANG=C.UTF-8\n", True)
