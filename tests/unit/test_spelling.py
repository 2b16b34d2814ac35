"""Suggestions for names that are not known."""

from __future__ import annotations

import pytest

from kiwinb.errors import KiwinbError, PackageError
from kiwinb.packages import MANAGERS
from kiwinb.packages.apt.complaints import missing_packages
from kiwinb.spelling import near_names

NAMES = ("bash", "coreutils", "kbd", "less", "lvm2", "openssh-server", "vim", "xfsprogs")


@pytest.mark.parametrize("name", NAMES)
def test_any_two_neighbouring_letters_swapped(name: str) -> None:
    for place in range(len(name) - 1):
        swapped = name[:place] + name[place : place + 2][::-1] + name[place + 2 :]
        assert near_names(swapped, (*NAMES, "kdf", "kb", "dbus")) == [name]


@pytest.mark.parametrize("name", NAMES)
def test_any_letter_missing_doubled_or_other(name: str) -> None:
    for place in range(len(name)):
        for edited in ("", name[place] * 2, "_"):
            wrong = name[:place] + edited + name[place + 1 :]
            if len(wrong) >= 3 and wrong != name:
                assert near_names(wrong, NAMES) == [name]


def test_order_count_and_case() -> None:
    assert near_names("kdb", ("kdc", "kb", "kbd"), count=3)[:2] == ["kbd", "kdc"]
    assert near_names("BTRFS", ("Btrfs", "btrf")) == ["Btrfs"]
    assert near_names("x", ("y", "zz")) == []
    assert near_names("pacman", ("apt", "dnf5")) == []


def test_messages() -> None:
    error = missing_packages(
        [
            "E: Unable to locate package kdb",
            "E: Package 'kdb=1.0' has no installation candidate",
        ],
        NAMES,
    )
    assert isinstance(error, PackageError)
    assert "kdb (near: kbd)" in str(error)
    assert "kdb=1.0 (near: kbd)" in str(error)
    with pytest.raises(KiwinbError, match="Did you mean apt"):
        MANAGERS.find("atp")
