"""pacman resolves what a build and its forecast install, and errors say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from pacman_repository import described, forecast, make, request
from rpm_repository import host_paths, repository

from kiwinb.errors import PackageError, RepositoryError
from kiwinb.packages.databases.directory import DirectoryFiles
from kiwinb.packages.pacman import PacmanManager
from kiwinb.packages.pacman.complaints import complaint, has_failed_script
from kiwinb.packages.pacman.resolve import Resolver


@pytest.mark.needs("pacman")
@pytest.mark.proves("package manager", "pacman", "package")
def test_forecast(tmp_path: Path) -> None:
    packages = {"app": {"DEPENDS": "library"}, "library": {}, "other": {}}
    place = make(tmp_path / "repository", packages)
    assert forecast(place, "app", "other") == ["app named", "library dependency", "other named"]
    assert forecast(place, "app", "other", uninstall=("app",)) == ["other named"]
    assert forecast(place, "app", "other", delete=("library",)) == ["app named", "other named"]


@pytest.mark.needs("pacman")
def test_errors(tmp_path: Path) -> None:
    place = make(tmp_path / "repository", {"library": {}, "broken": {"DEPENDS": "nobody-has-this"}})
    with pytest.raises(PackageError, match=r"librayr \(near: library\)"):
        forecast(place, "librayr")
    with pytest.raises(PackageError, match="need something that no repository has"):
        forecast(place, "broken")
    (place / "test.db").write_bytes(b"\x1f\x8bnonsense")
    with pytest.raises(RepositoryError, match="its index is damaged"):
        PacmanManager().refresh([repository(place)], "x86_64", host_paths(tmp_path), force=True)


@pytest.mark.needs("pacman")
@pytest.mark.parametrize(
    ("app", "other", "conflict"),
    [
        ({"CONFLICTS": "other"}, {}, True),
        ({"CONFLICTS": "other>=2"}, {}, False),
        ({"CONFLICTS": "other<2"}, {}, True),
        ({}, {"CONFLICTS": "app"}, True),
        ({"CONFLICTS": "virtual"}, {"PROVIDES": "virtual"}, True),
        ({"CONFLICTS": "virtual=1"}, {"PROVIDES": "virtual=2"}, False),
        ({"CONFLICTS": "virtual", "PROVIDES": "virtual"}, {}, False),
        ({"REPLACES": "other"}, {}, False),
    ],
)
def test_conflicts(
    app: dict[str, str], other: dict[str, str], conflict: bool, tmp_path: Path
) -> None:
    place = make(tmp_path / "repository", {"app": app, "other": other})
    if not conflict:
        assert forecast(place, "app", "other") == ["app named", "other named"]
        return
    with pytest.raises(PackageError, match="cannot be installed together") as caught:
        forecast(place, "app", "other")
    assert "app" in caught.value.problem and "other" in caught.value.problem
    assert caught.value.remedy == "Drop one of them."


@pytest.mark.needs("pacman")
@pytest.mark.proves("package manager", "pacman", "ignore")
def test_what_is_ignored_is_not_installed(tmp_path: Path) -> None:
    packages = {"app": {"DEPENDS": "provided"}, "first": {"PROVIDES": "provided"}, "other": {}}
    place = make(tmp_path / "repository", {**packages, "second": {"PROVIDES": "provided"}})
    assert forecast(place, "app", "other", ignore=("first", "other")) == [
        "app named",
        "second dependency",
    ]
    with pytest.raises(PackageError, match="'provided' required by app"):
        forecast(place, "app", ignore=("first", "second"))


@pytest.mark.needs("pacman")
@pytest.mark.proves("package manager", "pacman", "namedCollection")
def test_groups(tmp_path: Path) -> None:
    packages = {"app": {"GROUPS": "base"}, "library": {"GROUPS": "base"}, "other": {}}
    place = make(tmp_path / "repository", packages)
    asked = request(place, collections=("base",))
    state = asked.state.metadata
    assert state.is_dir()
    assert forecast(place, "base") == ["app named", "library named"]


@pytest.mark.needs("pacman")
def test_an_upgrade_has_what_is_newer_and_what_that_needs(tmp_path: Path) -> None:
    place = make(
        tmp_path / "repository",
        {
            "app": {"VERSION": "2.0-1", "DEPENDS": "library"},
            "library": {},
            "same": {},
            "older": {"VERSION": "0.9-1"},
            "not-there": {},
        },
    )
    root = tmp_path / "root"
    for name in ("app", "same", "older"):
        package = root / f"var/lib/pacman/local/{name}-1.0-1"
        package.mkdir(parents=True)
        (package / "desc").write_text(described(name, {}))
    (package.parent / "ALPM_DB_VERSION").write_text("9\n")
    work = tmp_path / "work"
    resolver = Resolver(work, request(place), DirectoryFiles(root))
    chosen = resolver.install((), upgrade=True)
    found = [(item.name, item.version) for item in chosen]
    assert found == [("app", "2.0-1"), ("library", "1.0-1")]


def test_a_failed_script_is_an_error() -> None:
    lines = ["installing app...", *(f"line {number}" for number in range(50))]
    lines += ["error: command failed to execute correctly", "installing other..."]
    assert has_failed_script(lines)
    said = str(complaint(lines))
    assert "a script of a package failed" in said
    assert "installing app..." in said and "line 49" in said and "line 9\n" not in said
