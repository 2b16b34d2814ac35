from __future__ import annotations

import os
from pathlib import Path

import pytest

from kiwinb.errors import HostError
from kiwinb.sandbox import privilege
from kiwinb.sandbox.privilege import IdRange, Privilege, detect, namespaces_denied


def test_detect_says_whether_we_are_root() -> None:
    found = detect()
    if os.geteuid() == 0:
        assert not found.uids
    else:
        assert found.rootless
        assert found.uids[0] == IdRange(0, os.getuid(), 1)
        assert sum(item.count for item in found.uids) > 65535


def test_ranges_are_laid_one_behind_the_other(tmp_path: Path) -> None:
    file = tmp_path / "subuid"
    file.write_text(f"other:1:2\nme:100000:40000\n# me:1:1\n{os.getuid()}:300000:30000\n")
    assert tuple(privilege._subordinate(file, "me")) == (
        IdRange(1, 100000, 40000),
        IdRange(40001, 300000, 30000),
    )


@pytest.mark.parametrize("content", ["", "other:100000:65536\n", "me:100000:1000\n"])
def test_missing_subordinate_ids(tmp_path: Path, content: str) -> None:
    file = tmp_path / "subuid"
    file.write_text(content)
    with pytest.raises(HostError, match="usermod --add-subuids"):
        tuple(privilege._subordinate(file, "me"))


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("kernel/unprivileged_userns_clone", "unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "max_user_namespaces="),
    ],
)
def test_user_namespaces_switched_off(
    monkeypatch: pytest.MonkeyPatch, name: str, remedy: str
) -> None:
    monkeypatch.setattr(
        privilege, "_read", lambda path: "0\n" if str(path) == f"/proc/sys/{name}" else ""
    )
    with pytest.raises(HostError, match=remedy):
        privilege._check_sysctls()


def test_files_of_other_users_are_told_apart() -> None:
    own = Privilege(True, uids=(IdRange(0, 1000, 1), IdRange(1, 100000, 65536)))
    assert [own.owns(uid) for uid in (0, 999, 1000, 100000, 165535, 165536)] == (
        [False, False, True, True, True, False]
    )
    assert Privilege(False).owns(4711)


def test_apparmor_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privilege, "_read", lambda path: "1\n")
    error = namespaces_denied(PermissionError(13, "Permission denied"), rootless=True)
    assert "apparmor_restrict_unprivileged_userns=0" in str(error)
    assert "apparmor" not in str(namespaces_denied(PermissionError(1, "no"), rootless=False))
