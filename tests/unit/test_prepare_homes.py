"""Home directories, and what overlays put into them, belong to the users."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from odd_tree import CAPABILITY

from kiwinb.description.model import User
from kiwinb.prepare.homes import give_homes
from kiwinb.prepare.lay_over import lay_directory
from kiwinb.prepare.users import SetupUsers
from kiwinb.steps.step import HostPaths, StepContext

pytestmark = pytest.mark.account("root")

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/sh
ada:x:1001:1002:Ada:/home/ada:/bin/sh
bob:x:1003:1003::/srv/app/bob:/bin/sh
app:x:1004:1004::/srv/app:/bin/sh
all:x:1005:1005::/:/bin/sh
links:x:1006:1006::/users/links:/bin/sh
usr:x:1007:1007::/lib:/bin/sh
none:x:1008:1008::/nowhere:/bin/sh
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    overlay = tmp_path / "root"
    for name in ("etc", "home", "srv", "usr/lib", "usr/sbin"):
        (path / name).mkdir(parents=True)
    (path / "etc/passwd").write_text(PASSWD)
    (path / "users").symlink_to("/home")
    (path / "lib").symlink_to("usr/lib")
    for name in ("home/ada/.config/app", "home/links", "srv/app/bob", "usr/lib"):
        (overlay / name).mkdir(parents=True)
        (overlay / name / "file").write_text("x")
    (overlay / "home/ada/out").symlink_to("../../etc")
    (overlay / "home/ada/setuid").touch()
    (overlay / "home/ada/setuid").chmod(0o4755)
    (overlay / "home/ada/cap").touch()
    os.setxattr(overlay / "home/ada/cap", "security.capability", CAPABILITY)
    lay_directory(path, overlay)
    return path


def _owner(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_uid, status.st_gid


def test_a_home_becomes_the_users_recursively(root: Path) -> None:
    give_homes(root, {"ada"}, lambda line: None)
    ada = root / "home/ada"
    assert {_owner(path) for path in (ada, *ada.rglob("*"))} == {(1001, 1002)}
    assert stat.S_IMODE((ada / "setuid").stat().st_mode) == 0o4755
    assert os.getxattr(ada / "cap", "security.capability") == CAPABILITY
    others = (root, root / "etc", root / "etc/passwd", root / "home", root / "home/links")
    assert {_owner(path) for path in others} == {(0, 0)}


def test_a_home_in_a_home_is_that_of_its_own_user(root: Path) -> None:
    give_homes(root, {"app", "bob"}, lambda line: None)
    assert _owner(root / "srv/app") == (1004, 1004)
    assert _owner(root / "srv/app/bob/file") == (1003, 1003)


def test_a_home_behind_a_link_of_the_tree(root: Path) -> None:
    give_homes(root, {"links"}, lambda line: None)
    assert _owner(root / "home/links/file") == (1006, 1006)
    assert _owner(root / "users") == (0, 0)


def test_directories_of_the_system_are_left_alone(root: Path) -> None:
    said: list[str] = []
    give_homes(root, {"all", "usr", "daemon", "none"}, said.append)
    assert {_owner(path) for path in (root, *root.rglob("*"))} == {(0, 0)}
    assert sorted(line.split()[0] for line in said) == ["/", "/usr/lib", "/usr/sbin"]


class _Tools:
    """Stands for the tree's useradd, which a small tree does not have."""

    def __init__(self, root: Path, **_options: object) -> None:
        self._passwd = root / "etc/passwd"

    def __enter__(self) -> _Tools:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def run(self, argv: list[str], **_options: object) -> None:
        if argv[0] == "useradd":
            home = argv[argv.index("--home-dir") + 1]
            with self._passwd.open("a") as passwd:
                passwd.write(f"{argv[-1]}:x:1500:1500::{home}:/bin/sh\n")


def test_only_users_that_the_build_creates(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kiwinb.prepare.users.Chroot", _Tools)
    (root / "usr/sbin/useradd").touch()
    (root / "home/new").mkdir()
    (root / "home/new/.profile").touch()
    context = StepContext(
        root=root,
        out=None,
        inputs={},
        host=HostPaths(root),
        log=lambda line: None,
        progress=lambda fraction: None,
        rootless=False,
    )
    users = (User("new", home="/home/new"), User("ada", home="/home/ada"))
    SetupUsers(users, 0).run(context)
    assert _owner(root / "home/new/.profile") == (1500, 1500)
    assert _owner(root / "home/ada/.config/app/file") == (0, 0)
