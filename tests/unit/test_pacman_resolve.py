"""pacman resolves what a build and its forecast install, and errors say what to do."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from rpm_repository import host_paths, repository

from kiwinb.errors import PackageError, RepositoryError
from kiwinb.packages.manager import PackageChanges, PackageRequest
from kiwinb.packages.pacman import PacmanManager
from kiwinb.packages.pacman.complaints import complaint, has_failed_script

DESC = """\
%FILENAME%
{name}-1.0-1-any.pkg.tar.zst

%NAME%
{name}

%VERSION%
1.0-1

%ARCH%
any

%CSIZE%
10

%ISIZE%
20

%SHA256SUM%
{digest}

%BUILDDATE%
1700000000

"""


def make(directory: Path, **depends: str) -> Path:
    """Make an index without package files, which no forecast needs."""

    directory.mkdir()
    with tarfile.open(directory / "test.db", "w:gz") as archive:
        for name, needed in depends.items():
            text = DESC.format(name=name, digest="0" * 64)
            text += f"%DEPENDS%\n{needed}\n\n" if needed else ""
            member = tarfile.TarInfo(f"{name}-1.0-1/desc")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return directory


def request(directory: Path, *packages: str) -> PackageRequest:
    manager, found = PacmanManager(), (repository(directory),)
    host = host_paths(directory.parent)
    state = manager.refresh(found, "x86_64", host, force=False)
    assert state.epoch == 1700000000
    return PackageRequest("x86_64", found, state, packages)


def forecast(directory: Path, *packages: str, **more: tuple[str, ...]) -> list[str]:
    changes = PackageChanges(None, request(directory, *packages), **more)
    made = PacmanManager().forecast(changes, host_paths(directory.parent))
    return [f"{item.name} {item.why}" for item in made]


@pytest.mark.needs("pacman")
@pytest.mark.proves("package manager", "pacman")
def test_forecast(tmp_path: Path) -> None:
    place = make(tmp_path / "repository", app="library", library="", other="")
    assert forecast(place, "app", "other") == ["app named", "library dependency", "other named"]
    assert forecast(place, "app", "other", uninstall=("app",)) == ["other named"]
    assert forecast(place, "app", "other", delete=("library",)) == ["app named", "other named"]


@pytest.mark.needs("pacman")
def test_errors(tmp_path: Path) -> None:
    place = make(tmp_path / "repository", library="", broken="nobody-has-this")
    with pytest.raises(PackageError, match=r"librayr \(near: library\)"):
        forecast(place, "librayr")
    with pytest.raises(PackageError, match="need something that no repository has"):
        forecast(place, "broken")
    (place / "test.db").write_bytes(b"\x1f\x8bnonsense")
    with pytest.raises(RepositoryError, match="its index is damaged"):
        PacmanManager().refresh([repository(place)], "x86_64", host_paths(tmp_path), force=True)


def test_a_failed_script_is_an_error() -> None:
    lines = ["error: command failed to execute correctly"]
    assert has_failed_script(lines)
    assert "a script of a package failed" in str(complaint(lines, ()))
