"""The forecast of packages makes the same transactions as a build, one after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from apt_repository import APT, index, make_package, resolved

from kiwinb.notebook.forecast import Forecast
from kiwinb.packages.apt.transaction import Transaction
from kiwinb.packages.databases.directory import DirectoryFiles
from kiwinb.packages.manager import AvailablePackage, PackageChanges, PackageRequest
from kiwinb.steps.step import HostPaths

needs_apt = pytest.mark.needs("apt-get", "dpkg-deb", "apt-ftparchive")

Ask = Callable[..., dict[str, AvailablePackage]]


@pytest.fixture
def forecast(tmp_path: Path) -> Ask:
    """The packages by name, for the names of packages to bootstrap, install and remove."""
    directory = tmp_path / "repository"
    directory.mkdir()
    make_package(directory, "base", depends="usrmerge | usr-is-merged\nEssential: yes")
    make_package(directory, "dpkg", arch="amd64", depends="base\nEssential: yes")
    make_package(directory, "usrmerge", depends="perl")
    make_package(directory, "usr-is-merged")
    make_package(directory, "perl")
    make_package(directory, "editor", depends="library, mail", tasks="plugin")
    make_package(directory, "library")
    make_package(directory, "plugin")
    make_package(directory, "exim", depends="library\nProvides: mail")
    make_package(directory, "postfix", depends="library\nProvides: mail")
    make_package(directory, "task-desk", depends="chair")
    make_package(directory, "chair")
    make_package(directory, "led", depends="library\nProvides: lamp")
    make_package(directory, "replacement", depends="library\nConflicts: old\nReplaces: old")
    make_package(directory, "old", depends="library")
    index(directory)
    host = HostPaths(tmp_path / "cache")
    repositories = (resolved(directory),)
    state = APT.refresh(repositories, "x86_64", host, force=False)
    request = PackageRequest("x86_64", repositories, state)

    def ask(
        bootstrap: str | None = "",
        install: str = "",
        uninstall: str = "",
        delete: str = "",
        base: Path | None = None,
        **options: object,
    ) -> dict[str, AvailablePackage]:
        first = None if bootstrap is None else replace(request, packages=(*bootstrap.split(),))
        then = replace(request, packages=(*install.split(),), **options)  # type: ignore[arg-type]
        changes = PackageChanges(first, then, (*uninstall.split(),), (*delete.split(),))
        found = APT.forecast(changes, host, None if base is None else DirectoryFiles(base))
        assert [item.name for item in found] == sorted(item.name for item in found)
        return {item.name: item for item in found}

    return ask


FIRST = {"base", "dpkg", "usr-is-merged"}


@needs_apt
def test_trees_with_a_merged_usr_need_no_usrmerge(forecast: Ask) -> None:
    assert {*forecast()} == FIRST
    assert {*forecast("library", "editor exim")} == {*FIRST, "library", "editor", "exim"}


@needs_apt
def test_what_is_there_decides_what_is_needed(forecast: Ask) -> None:
    found = forecast("postfix", "editor")
    assert {*found} == {*FIRST, "postfix", "editor", "library"}


@needs_apt
def test_only_image_packages_bring_what_they_recommend(forecast: Ask) -> None:
    assert "plugin" not in forecast("editor postfix", "perl", recommended=True)
    assert "plugin" in forecast("postfix", "editor", recommended=True)


@needs_apt
def test_ignored_packages_and_collections(forecast: Ask) -> None:
    found = forecast("", "editor postfix perl", collections=("desk",), ignore=("perl",))
    assert {*found} == {*FIRST, *("editor", "postfix", "library", "task-desk", "chair")}


@needs_apt
def test_a_conflict_removes_a_package(forecast: Ask) -> None:
    found = forecast("old", "replacement")
    assert {*found} == {*FIRST, "replacement", "library"}


@needs_apt
def test_uninstall_takes_what_is_no_longer_needed_and_delete_does_not(forecast: Ask) -> None:
    everything = {*FIRST, *("editor", "postfix", "library")}
    assert {*forecast("postfix", "editor", delete="library never")} == everything - {"library"}
    assert {*forecast("postfix", "editor", uninstall="library")} == FIRST
    assert {*forecast("postfix", "editor", uninstall="editor never")} == everything - {"editor"}
    assert {*forecast("", "old", uninstall="old")} == FIRST  # library is automatic
    assert {*forecast("library", "old", uninstall="old")} == {*FIRST, "library"}  # and now named
    assert {*forecast("old", "library", uninstall="old")} == {*FIRST, "library"}


@needs_apt
def test_it_says_why_a_package_is_there(forecast: Ask) -> None:
    found = forecast("base postfix", "editor lamp", collections=("desk",))
    assert {name: item.why for name, item in found.items()} == {
        "base": "named",
        "dpkg": "essential",
        "usr-is-merged": "dependency",
        "postfix": "named",
        "editor": "named",
        "library": "dependency",
        "led": "named",
        "task-desk": "named",
        "chair": "dependency",
    }


@needs_apt
def test_a_base_container_has_the_first_packages(forecast: Ask, tmp_path: Path) -> None:
    root = tmp_path / "base"
    for path, text in (
        (
            "var/lib/dpkg/status",
            "Package: dpkg\nStatus: install ok installed\nVersion: 1.0\nArchitecture: amd64\n"
            "Installed-Size: 7\n\n"
            "Package: old\nStatus: install ok installed\nVersion: 0.9\nArchitecture: all\n"
            "Depends:\n library\n\n"
            "Package: library\nStatus: install ok installed\nVersion: 0.9\nArchitecture: all\n\n"
            "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\nArchitecture: all\n",
        ),
        (
            "var/lib/apt/extended_states",
            "Package: library\nArchitecture: amd64\nAuto-Installed: 1\n",
        ),
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    found = forecast(None, "chair", base=root)
    assert {name: (item.version, item.size > 0, item.why) for name, item in found.items()} == {
        "chair": ("1.0", True, "named"),
        "dpkg": ("1.0", False, "base container"),
        "library": ("0.9", False, "base container"),
        "old": ("0.9", False, "base container"),
    }
    assert found["dpkg"].installed_size == 7 * 1024
    assert {*forecast(None, "chair", uninstall="old", base=root)} == {"chair", "dpkg"}


def test_lines_of_a_simulation_are_read() -> None:
    text = """\
Reading package lists...
Note, selecting 'plain' for task 'some'
Note, selecting 'other:i386' instead of 'virtual'
old set to manually installed.
The following packages will be REMOVED:
  gone
Inst libc6 [2.35-1] (2.36-9 Debian:12.15/oldstable, Debian-Security:12/x [amd64]) [gone:amd64 ]
Inst plain (1:0~a+b Local [all]) []
Inst other:i386 (5 Debian:12.15/oldstable [i386])
Conf libc6 (2.36-9 Debian:12.15/oldstable [amd64])
Remv gone [1.0-1]
Purg purged:i386 [1.0]
"""
    assert Transaction.read(text, ["named=1.0", "g++"]) == Transaction(
        (("libc6", "2.36-9", "amd64"), ("plain", "1:0~a+b", "all"), ("other", "5", "i386")),
        ("gone", "purged"),
        frozenset(("named", "g++", "g+", "other", "plain", "old")),  # apt decides what "g++" is
    )


def test_a_forecast_is_a_table_with_both_sizes() -> None:
    found = Forecast(
        (
            AvailablePackage("a", "1-<1>", "all", 1024, "0" * 64, 2048, "named"),
            AvailablePackage("b", "2", "amd64", 512, "", 1024, "dependency"),
        )
    )
    assert (found.size, found.installed_size) == (1536, 3072)
    assert found.summary == "2 packages: 1.5 KiB to download, 3.0 KiB installed"
    table = found.table()
    assert list(table["installed_size"]) == [2048, 1024]
    assert list(Forecast().table().columns) == list(table.columns)
    html = found._repr_html_()
    assert "1-&lt;1&gt;" in html
    assert found.summary in html
    assert "a 1-<1> (all): 1.0 KiB, 2.0 KiB installed, named" in repr(found)
