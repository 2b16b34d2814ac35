from __future__ import annotations

import filecmp
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from made_filesystem import MIB, UUID, make, make_larger_tree

from kiwinb.checkpoints.treescan import Entry, compare
from kiwinb.errors import ImageError
from kiwinb.storage.filesystem.btrfs_items import Identity, name_hash
from kiwinb.storage.filesystem.btrfs_tree import TreeWriter
from kiwinb.storage.filesystem.spec import FilesystemFull
from kiwinb.storage.treewalk import select


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_larger_tree(tmp_path_factory.mktemp("btrfs") / "tree")


@pytest.fixture(scope="module")
def image(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("btrfs") / "image"
    make(tree, place, "btrfs")
    return place


def check(image: Path) -> str:
    argv: list[str | Path] = ["btrfs", "check", "--check-data-csum", image]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no error found" in done.stdout
    return done.stdout + done.stderr


def show(image: Path, *options: str) -> str:
    argv: list[str | Path] = ["btrfs", "inspect-internal", *options, image]
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout


@pytest.mark.proves("file system", "btrfs")
def test_it_is_sound_and_the_same_each_time(tree: Path, image: Path, tmp_path: Path) -> None:
    assert UUID in check(image)
    make(tree, tmp_path / "again", "btrfs")
    assert filecmp.cmp(image, tmp_path / "again", shallow=False)
    assert image.stat().st_blocks * 512 < 16 * MIB
    text = show(image, "dump-super", "-f", "-a")
    assert text.count("[match]") == 2 * 3  # checksum, magic and UUID of both superblocks
    assert "label\t\t\tROOT\n" in text


@pytest.mark.proves("file system", "btrfs")
def test_btrfs_restore_finds_the_tree(tree: Path, image: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(
        ["btrfs", "restore", "-x", "-m", "-S", image, out],
        check=True,
        capture_output=True,
    )

    def comparable(root: Path) -> list[Entry]:
        """What restore keeps: no hard links nor nodes, and not all of links and directories."""
        kept = []
        for entry in select(root, contents=True):
            if entry.kind == "symlink" or entry.path == b".":
                kept.append(replace(entry, link=b"", mode=0, uid=0, gid=0, xattrs=()))
            elif entry.kind == "directory":
                kept.append(replace(entry, xattrs=()))
            elif entry.kind == "file":
                kept.append(replace(entry, link=b""))
        return kept

    assert not compare(comparable(tree), comparable(out))


def test_the_size_of_each_tree_is_told(image: Path) -> None:
    """The kernel sets space aside by it."""
    roots = show(image, "dump-tree", "-t", "root")
    used = [
        line.split("bytes_used ")[1].split()[0]
        for line in roots.splitlines()
        if "bytes_used" in line
    ]
    total = next(line for line in check(image).splitlines() if "tree bytes" in line)
    # The tree of roots and that of chunks are in no tree.
    assert sum(map(int, used)) == int(total.split(": ")[1]) - 2 * 16384


def test_content_larger_than_a_chunk_goes_around_the_superblocks(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(3):
        (tree / f"{number}").write_bytes(bytes([number + 1]) * (41 * MIB))
    make(tree, tmp_path / "image", "btrfs")
    check(tmp_path / "image")


def test_too_small(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(b"x" * (60 * MIB))
    for size in (65 * MIB, 4 * MIB, MIB):
        with pytest.raises(FilesystemFull, match="too small"):
            make(tree, tmp_path / "image", "btrfs", size=size)


def test_what_btrfs_cannot_keep(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    with pytest.raises(ImageError, match="takes no options: --csum xxhash"):
        make(tree, tmp_path / "image", "btrfs", options=("--csum", "xxhash"))
    with pytest.raises(ImageError, match="too long for btrfs"):
        make(tree, tmp_path / "image", "btrfs", label="l" * 256)


def test_name_hash() -> None:
    assert name_hash(b"default") == 2378154706


@pytest.mark.parametrize("count", [0, 1, 200, 70_000])
def test_a_tree_has_one_root(count: int) -> None:
    blocks: dict[int, bytes] = {}
    levels: list[int] = []

    def allocate(level: int) -> int:
        levels.append(level)
        return len(levels) * 16384

    writer = TreeWriter(5, Identity.of(UUID), allocate, blocks.__setitem__)
    for number in range(count):
        writer.add((number, 1, 0), os.urandom(8) * 8)
    root, level = writer.finish()
    assert level == max(levels)
    assert levels.count(level) == 1
    assert blocks.keys() == {at * 16384 for at in range(1, len(levels) + 1)}
    assert blocks[root][100] == level
