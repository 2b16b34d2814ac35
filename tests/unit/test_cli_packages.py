"""What packages an image would get, from a small repository that is made here."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from apt_repository import APT, index, make_package, resolved
from descriptions import document

from kiwinb import cli
from kiwinb.errors import PackageError
from kiwinb.packages.manager import PackageChanges, PackageRequest
from kiwinb.steps.step import HostPaths

pytestmark = pytest.mark.needs("apt-get", "dpkg-deb", "apt-ftparchive")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    directory = tmp_path / "repository"
    directory.mkdir()
    make_package(directory, "base", depends="library\nEssential: yes")
    make_package(directory, "library", version="2:1.5")
    make_package(directory, "editor", depends="library\nInstalled-Size: 12", tasks="plugin")
    make_package(directory, "plugin")
    make_package(directory, "unused")
    make_package(directory, "apt")
    make_package(directory, "broken", depends="library (>= 9:0)")
    index(directory)
    return directory


def test_the_forecast_has_what_is_essential_and_all_dependencies(
    repository: Path, tmp_path: Path
) -> None:
    host = HostPaths(tmp_path / "cache")
    repositories = (resolved(repository),)
    state = APT.refresh(repositories, "x86_64", host, force=False)
    request = PackageRequest("x86_64", repositories, state, packages=("editor",))
    empty = replace(request, packages=())
    found = APT.forecast(PackageChanges(empty, request), host)
    assert [(item.name, item.version) for item in found] == [
        ("base", "1.0"),
        ("editor", "1.0"),
        ("library", "2:1.5"),
    ]
    for item in found:
        (file,) = repository.glob(f"{item.name}_*.deb")
        assert item.size == file.stat().st_size
        assert item.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert [item.installed_size for item in found] == [0, 12 << 10, 0]
    more = replace(request, recommended=True)
    names = [item.name for item in APT.forecast(PackageChanges(empty, more), host)]
    assert names == ["base", "editor", "library", "plugin"]
    with pytest.raises(PackageError):
        APT.forecast(PackageChanges(empty, replace(request, packages=("broken",))), host)


def test_the_command_line_lists_them(
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KIWINB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KIWINB_STORE", str(tmp_path / "store"))
    source = f'<source path="{repository}"/>'
    document(
        tmp_path,
        repository=f'<repository type="apt-deb" repository_gpgcheck="false" architectures="amd64">'
        f"{source}</repository>",
        packages='<packages type="bootstrap"><package name="base"/></packages>'
        '<packages type="image"><package name="editor"/></packages>',
    )
    words = ["image", "info", "--description", str(tmp_path), "--resolve-package-list"]
    for form in ([], ["--json"]):
        monkeypatch.setattr(sys, "argv", ["kiwinb", *form, *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0
        said = capsys.readouterr().out
        found = json.loads(said)["resolved-packages"]
        assert list(found) == ["apt", "base", "editor", "library"]
        assert found["editor"]["status"] == "listed_in_kiwi_description"
        assert found["library"]["status"] == "added_by_dependency_solver"
        assert found["library"]["version"] == "2:1.5"
        assert found["library"]["download_bytes"] > 0
