"""File systems made of a tree are mounted by the kernel, compared with it, written to and grown."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from kernel_mounts import check, mounted, own_namespace
from made_filesystem import MIB, make, make_larger_tree
from odd_tree import at

from kiwinb.checkpoints.treescan import Entry, compare, scan
from kiwinb.sandbox.devices import DEVICE_ATTRIBUTE
from kiwinb.storage.filesystem.content import Content
from kiwinb.storage.treewalk import select

pytestmark = [
    pytest.mark.build,
    pytest.mark.account("root"),
]

KINDS = ("ext2", "ext3", "ext4", "xfs", "btrfs")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = make_larger_tree(tmp_path_factory.mktemp("mount") / "tree")
    (tree / "22-pieces").chmod(0o600)
    for path in (tree / "with-11", tree / "22-pieces"):
        for name in os.listxattr(path):  # ext4 keeps less than others
            os.removexattr(path, name)
    os.removexattr(tree / "remote", "trusted.note", follow_symlinks=False)
    # What a node is when it was made in a user namespace.
    (tree / "nodes/tty").touch()
    (tree / "nodes/tty").chmod(0o620)
    os.setxattr(tree / "nodes/tty", DEVICE_ATTRIBUTE, b"c:4:300")
    return tree


@pytest.fixture(scope="module", autouse=True)
def namespace() -> Iterator[None]:
    with own_namespace():
        yield


def comparable(entries: tuple[Entry, ...]) -> list[Entry]:
    """Without what XFS shows twice, and mke2fs makes."""
    return [
        replace(entry, xattrs=tuple(x for x in entry.xattrs if not x[0].startswith("trusted.SGI")))
        for entry in entries
        if entry.path != b"lost+found"
    ]


def modified(root: Path, content: Content) -> dict[bytes, int]:
    paths = (entry.path for entry in content.entries)
    return {path: os.lstat(at(root, path)).st_mtime_ns for path in paths}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.proves("file system", "ext2 ext3 ext4 xfs btrfs")
def test_the_kernel_sees_the_tree(tree: Path, tmp_path: Path, kind: str) -> None:
    image = tmp_path / "image"
    content = make(tree, image, kind)
    check(image, kind)
    with mounted(image, "ro,nouuid" if kind == "xfs" else "ro") as root:
        assert not compare(comparable(select(tree, contents=True)), comparable(scan(root)))
        seconds = 10**9 if kind in ("ext2", "ext3") else 1  # small inodes have no nanoseconds
        times = {entry.path: content.modified_ns(entry) for entry in content.entries}
        assert times.keys() >= {b"old", b"a/file"}
        found = modified(root, content)
        wrong = {path for path in times if times[path] // seconds != found[path] // seconds}
        assert not wrong
        assert (root / "sparse").stat().st_blocks * 512 <= 8192


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
@pytest.mark.proves("file system", "xfs btrfs")
def test_the_kernel_writes_to_it_and_grows_it(tree: Path, tmp_path: Path, kind: str) -> None:
    image = tmp_path / "image"
    make(tree, image, kind)
    with image.open("r+b") as file:
        file.truncate(image.stat().st_size + 256 * MIB)
    with mounted(image, "nouuid" if kind == "xfs" else "rw") as root:
        before = os.statvfs(root)
        grow = {"xfs": ["xfs_growfs"], "btrfs": ["btrfs", "filesystem", "resize", "max"]}[kind]
        subprocess.run([*grow, root], check=True, stdout=subprocess.PIPE)
        subprocess.run(["cp", "-a", "/usr/share/zoneinfo", root / "copied"], check=True)
        subprocess.run(["rm", "-r", root / "with-1500", root / "600-pieces"], check=True)
        for number in range(600):
            (root / "with-480" / f"new-{number}").touch()
            (root / "with-11" / f"new-{number}").symlink_to("elsewhere")
        (root / "large").write_bytes(b"l" * (200 * MIB))
        os.setxattr(root / "with-12", "user.new", b"n" * 300)
        after = os.statvfs(root)
        assert after.f_blocks * after.f_frsize > before.f_blocks * before.f_frsize + 200 * MIB
    check(image, kind)
    with mounted(image, "ro,nouuid" if kind == "xfs" else "ro") as root:
        assert not compare(scan(Path("/usr/share/zoneinfo")), scan(root / "copied"))
        assert len(list((root / "with-480").iterdir())) == 1080


@pytest.mark.needs("mksquashfs", "mkfs.erofs")
@pytest.mark.parametrize("kind", ["squashfs", "erofs"])
@pytest.mark.proves("file system", "squashfs erofs")
def test_the_kernel_sees_the_tree_that_is_read_only(tree: Path, tmp_path: Path, kind: str) -> None:
    image = tmp_path / "image"
    long = "n" * 255  # more than mkfs.erofs of Debian 12 takes
    (tree / long).rename(tree / "shorter")
    try:
        content = make(tree, image, kind)
        expected = [
            replace(
                entry,
                xattrs=tuple(x for x in entry.xattrs if kind == "erofs" or x[0][:7] != "system."),
            )
            for entry in select(tree, contents=True)
        ]
        with mounted(image, "ro") as root:
            assert not compare(expected, scan(root))
            found = modified(root, content)
            for entry in content.entries:
                if kind == "squashfs" or entry.kind != "symlink":
                    assert found[entry.path] // 10**9 == content.modified_ns(entry) // 10**9
    finally:
        (tree / "shorter").rename(tree / long)
