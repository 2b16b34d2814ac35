"""Real trees from real packages."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from json import loads
from pathlib import Path
from typing import Any

import pytest
from store_program import accounts, become

pytestmark = pytest.mark.build

SCRIPT = Path(__file__).with_name("apt_trees.py")

Made = tuple[dict[str, Any], list[str]]  # what the script found, and what it printed


def make_tree(directory: Path, *, user: pwd.struct_passwd | None = None) -> Made:
    """Run the script, as another user where one is given; the result, and what it printed."""
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    switch: Sequence[str] = ()
    if user is not None:
        os.chown(directory, user.pw_uid, user.pw_gid)
        switch = become(user.pw_name)
        environ |= {"HOME": str(directory), "KIWINB_CACHE": str(directory / "cache")}
    done = subprocess.run(
        [*switch, sys.executable, SCRIPT, directory],
        capture_output=True,
        text=True,
        env=environ,
        cwd=SCRIPT.parent,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return loads(done.stdout), done.stderr.splitlines()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    directory = tmp_path_factory.mktemp("own")
    result, lines = make_tree(directory)
    yield result, lines
    shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.proves("package manager", "apt", "package", "namedCollection")
def test_database_is_complete(tree: Made) -> None:
    result, _lines = tree
    assert result["audit"] == ""
    changed = [line for line in result["verify"].splitlines() if " c " not in line]
    assert changed == []
    assert {"apt", "base-files", "task-ssh-server", "openssh-server"} <= set(result["installed"])
    assert "libssl3" in result["automatic"]
    assert "openssh-server" not in result["automatic"]


def test_removed_packages_are_gone(tree: Made) -> None:
    result, lines = tree
    assert not {"less", "iputils-ping", "usrmerge"} & set(result["installed"])
    assert "never-there is not installed, so it is not removed" in lines


def test_nothing_of_the_build_is_left(tree: Made) -> None:
    result, _lines = tree
    files = result["files"]
    left = [
        name
        for name in files
        if name.startswith(("run/", "proc/", "sys/", "dev/", "tmp/", "etc/ssh/ssh_host_"))
        or name.endswith(
            ("policy-rc.d", ".kiwinb", "aux-cache", ".log", "-old", "lists/lock", "dpkg/lock")
        )
        or name in ("etc/hostname", "etc/.resolv.conf.systemd-resolved.bak")
        or (
            name.startswith(("var/lib/apt/lists/", "var/cache/apt/archives/"))
            and not name.endswith("/partial")
        )
    ]
    assert left == []
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert files["etc/machine-id"][4] == empty
    assert files["bin"][4] == "usr/bin"
    assert files["etc/apt/sources.list.d/debian.sources"][0] == "-rw-r--r--"


@pytest.mark.account("both")
@pytest.mark.proves("package manager", "apt")
def test_rootless_tree_is_the_same(tree: Made) -> None:
    account = accounts()[1]
    with account.directory() as top:
        other, _lines = make_tree(top, user=pwd.getpwnam(account.user))
    mine, theirs = tree[0].pop("files"), other.pop("files")
    assert sorted(set(mine) ^ set(theirs)) == []
    assert {name: (mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]} == {}
