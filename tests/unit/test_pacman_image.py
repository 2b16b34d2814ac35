"""The image's own pacman gets the repositories that it is to have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from apt_repository import Keys
from rpm_repository import repository

from kiwinb.errors import RepositoryError
from kiwinb.packages.keys import key_file
from kiwinb.packages.manager import ResolvedRepository
from kiwinb.packages.pacman.image import configure

URL = "https://mirror.example.org/core/os/x86_64"


def _configured(root: Path, *repositories: ResolvedRepository) -> tuple[str, list[str]]:
    lines: list[str] = []
    configure(root, repositories, lines.append)
    file = root / "etc/pacman.conf"
    return file.read_text() if file.exists() else "", lines


@pytest.fixture
def own(tmp_path: Path) -> ResolvedRepository:
    (tmp_path / "etc").mkdir()
    return repository(tmp_path, "core", included_in_image=True, image_url=URL, username="me")


def test_what_the_file_has_stays(own: ResolvedRepository, tmp_path: Path) -> None:
    (tmp_path / "etc/pacman.conf").write_text("[options]\nColor")
    text, lines = _configured(tmp_path, own, replace(own, alias="b", included_in_image=False))
    assert text == f"[options]\nColor\n\n[core]\nSigLevel = Never\nServer = {URL}\n"
    assert lines == ["configured the repository core in the image"]
    again, lines = _configured(tmp_path, own)
    assert again == text and "already" in lines[0]


@pytest.mark.parametrize(
    ("more", "level"),
    [
        ({"checked": False}, "Never"),
        ({"checked": False, "packages_checked": True}, "PackageRequired DatabaseOptional"),
        ({"checked": True}, "PackageRequired DatabaseOptional"),
        ({"checked": True, "packages_checked": False}, "PackageNever DatabaseOptional"),
        ({"checked": True, "index_required": True}, "PackageRequired DatabaseRequired"),
    ],
)
def test_signatures_are_checked_as_in_the_build(
    more: dict[str, bool], level: str, own: ResolvedRepository, tmp_path: Path
) -> None:
    text, _lines = _configured(tmp_path, replace(own, **more))  # type: ignore[arg-type]
    assert f"SigLevel = {level}\n" in text


@pytest.mark.needs("gpg")
@pytest.mark.proves("package manager", "pacman", "components")
def test_keys_and_names(own: ResolvedRepository, tmp_path: Path, keys: Keys) -> None:
    home, _sign = keys
    files = [home / "right.asc", home / "wrong.gpg"]
    named = replace(own, components=("extra",), keys=tuple(map(key_file, files)))
    text, _lines = _configured(tmp_path, named)
    assert "[extra]\n" in text and "me" not in text.replace(URL, "").split()
    for name, file in zip(("extra.asc", "extra-2.gpg"), files, strict=True):
        assert (tmp_path / "etc/pacman.d/keys" / name).read_bytes() == file.read_bytes()


def test_a_url_is_not_another_option(own: ResolvedRepository, tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="the repository core has a control character"):
        _configured(tmp_path, replace(own, image_url=f"{URL}\nSigLevel = Never"))
    for name in ("options", "local", "a b"):
        with pytest.raises(RepositoryError, match="no name that pacman allows"):
            _configured(tmp_path, replace(own, alias=name))
