"""Files of the host that bootloaders take, with a package database that the test writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from kiwinb.bootloader.host import HostDirectory, HostFiles, find_host_files
from kiwinb.description import fingerprint

STATUS = """\
Package: grub-pc-bin
Status: install ok installed
Architecture: all
Maintainer: Nobody <nobody@example.com>
Version: {}
Description: modules
"""


@pytest.mark.needs("dpkg-query")
def test_the_version_is_that_which_dpkg_has_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked once, and again when dpkg has done something since."""
    modules, database = tmp_path / "modules", tmp_path / "dpkg"
    modules.mkdir()
    (modules / "normal.mod").write_text("module")
    (database / "info").mkdir(parents=True)
    (database / "updates").mkdir()
    monkeypatch.setenv("DPKG_ADMINDIR", str(database))
    monkeypatch.setattr(fingerprint, "SETTLED_NS", -(10**9))  # what was just written counts, too
    directories = {"bios": HostDirectory(modules, "grub-pc-bin")}

    def find() -> HostFiles:
        ((purpose, found),) = find_host_files(directories, tmp_path / "cache")
        assert purpose == "bios"
        return found

    def install(version: str) -> None:
        (database / "status").write_text(STATUS.format(version))

    install("2.06-1")
    assert find() == find()
    assert find().version == "2.06-1"
    install("2.12-1")
    assert find().version == "2.12-1"
    monkeypatch.setenv("PATH", "")  # nobody can be asked
    assert find().version == "2.12-1"
    install("2.14-1")
    assert find().version == ""
    assert find_host_files({"efi": HostDirectory(tmp_path / "gone", "grub-efi")}) == ()
