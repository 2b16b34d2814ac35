"""Stores and caches are for their owner alone, and nothing of the host is inherited in them."""

from __future__ import annotations

import os
import stat
import struct
import tempfile
from pathlib import Path

import pytest
from store_actions import Shell, read

from kiwinb.checkpoints.directory import prepare_directory
from kiwinb.checkpoints.private import make_private, make_private_cache, tighten
from kiwinb.checkpoints.runner import run_steps
from kiwinb.checkpoints.store import Store
from kiwinb.errors import StoreError
from kiwinb.sandbox.privilege import Privilege
from kiwinb.steps.step import DraftStep, HostPaths, seal

HOST = HostPaths(cache=Path("/nonexistent"))
STEPS = seal(
    (DraftStep("base", "Base", Shell("mkdir sub; echo 1 >sub/file; chmod 4755 sub/file")),)
)
DEFAULT = "system.posix_acl_default"


def _acl() -> bytes:
    """A default access list that gives the user 1000 everything; see acl(5)."""
    entries = [(1, 7, -1), (2, 7, 1000), (4, 5, -1), (16, 7, -1), (32, 5, -1)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def _hostile(directory: Path) -> Path:
    """A directory that gives what is made in it a group, and an access list."""
    directory.mkdir()
    os.setxattr(directory, DEFAULT, _acl())
    directory.chmod(0o2777)
    return directory


def test_a_new_store_is_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = Store.open(tmp_path / "some/where/store")
    finally:
        os.umask(before)
    assert _mode(store.path) == 0o700
    assert _mode(store.path / "store.json") == 0o600
    assert {_mode(path) for path in store.path.iterdir() if path.is_dir()} == {0o700}


def test_an_existing_store_is_tightened(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    run_steps(store, STEPS, HOST)
    store.path.chmod(0o2777)
    (store.path / "objects").chmod(0o755)
    os.setxattr(store.path / "drafts", DEFAULT, _acl())
    again = Store.open(store.path)
    assert {_mode(store.path), _mode(store.path / "objects")} == {0o700}
    assert DEFAULT not in os.listxattr(store.path / "drafts")
    assert again.holds(STEPS[0].key)


def test_the_parent_of_a_store_does_not_show_in_trees(tmp_path: Path) -> None:
    """Default access list, setgid bit, and the umask."""
    plain = Store.open(tmp_path / "store")
    run_steps(plain, STEPS, HOST)
    hostile = _hostile(tmp_path / "hostile")
    before = os.umask(0o077)
    try:
        other = Store.open(hostile / "store")
        run_steps(other, STEPS, HOST)
    finally:
        os.umask(before)
    assert other.scan(STEPS[0].key) == plain.scan(STEPS[0].key)
    assert not any(entry.xattrs for entry in other.scan(STEPS[0].key))


def test_nothing_else_is_tightened(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(0o755)
    (tmp_path / "home/precious").touch()
    with pytest.raises(StoreError, match="not a checkpoint store"):
        Store.open(tmp_path / "home")
    make_private_cache(tmp_path / "home")
    make_private(tmp_path / "home")
    assert _mode(tmp_path / "home") == 0o755
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["precious"]


def test_the_cache_is_private(tmp_path: Path) -> None:
    default = tmp_path / "kiwinb/downloads"
    default.mkdir(parents=True)
    for cache in (tmp_path / "new", default):
        make_private_cache(cache)
        assert _mode(cache) == 0o700
        cache.chmod(0o755)
        make_private_cache(cache)
        assert _mode(cache) == 0o700
        assert (cache / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d17")


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(0o755)
    (tmp_path / "link").symlink_to("elsewhere")
    tighten([tmp_path / "link"])
    assert _mode(tmp_path / "elsewhere") == 0o755


@pytest.mark.account("root")
def test_other_users_cannot_look_into_a_store(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    run_steps(store, STEPS, HOST)
    os.seteuid(12345)
    try:
        with pytest.raises(PermissionError):
            (store.object(STEPS[0].key) / "data/sub/file").lstat()
    finally:
        os.seteuid(0)


@pytest.mark.account("root")
def test_the_owner_of_a_private_store_is_named() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        Path(directory).chmod(0o755)
        store = Path(directory, "store")
        store.mkdir(0o700)
        os.chown(store, 4711, 4711)
        os.seteuid(12345)
        try:
            with pytest.raises(StoreError, match=r"that of user 4711 .*\n.*a store of your own"):
                prepare_directory(store, Privilege(rootless=True), None)
        finally:
            os.seteuid(0)


def test_setuid_programs_and_devices_of_a_tree_are_harmless(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    run_steps(store, STEPS, HOST)
    options = store.in_tree(STEPS[0].key, _mount_options, None)
    assert {"ro", "nosuid", "nodev"} <= {*options}
    writable = store.in_tree(STEPS[0].key, _mount_options, None, writable=True)
    assert "nodev" in writable
    assert store.in_tree(STEPS[0].key, read, "sub/file") == "1\n"


def _mount_options(root: Path, _argument: None, _report: object) -> tuple[str, ...]:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _source, place, _kind, options, *_ = line.split()
        if place == str(root):
            found = tuple(options.split(","))
    return found
