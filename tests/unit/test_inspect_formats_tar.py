"""Entries of tar archives that are not files: labels, lists of names, parts of other volumes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from kiwinb.errors import InspectError
from kiwinb.inspect.formats import open_tree
from kiwinb.inspect.formats.directory import DirectoryTree

GNU = ("oldgnu", "gnu", "pax")
FORMATS = (*GNU, "ustar", "v7")
COLUMNS = ["path", "type", "size", "mode", "uid", "gid", "mtime", "target"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "folder" / "inner").mkdir(parents=True)
    (root / "folder" / "file").write_text("content")
    (root / "large").write_bytes(os.urandom(300_000))
    (root / "link").symlink_to("folder/file")
    for folder, names, files in os.walk(root, topdown=False):
        for name in (*names, *files):
            os.utime(f"{folder}/{name}", (1.6e9, 1.6e9), follow_symlinks=False)
    os.utime(root, (1.6e9, 1.6e9))
    return root


def tar(tree: Path, *words: object) -> None:
    command: list[str | Path] = ["tar", "-C", tree, *map(str, words), "."]
    subprocess.run(command, check=True, capture_output=True)


def assert_same(tree: Path, image: Path) -> None:
    with open_tree(image) as found:
        ours, real = found.scan()[COLUMNS], DirectoryTree(tree).scan()[COLUMNS]
        assert ours.astype(str).values.tolist() == real.astype(str).values.tolist()
        assert found.read("/large") == (tree / "large").read_bytes()


@pytest.mark.parametrize("form", GNU)
@pytest.mark.parametrize("label", ["backup", "a/b c", "x" * 90])
def test_a_label_is_no_file(form: str, label: str, tree: Path, tmp_path: Path) -> None:
    tar(tree, f"--format={form}", "-V", label, "-cf", tmp_path / "image")
    assert_same(tree, tmp_path / "image")


@pytest.mark.parametrize("form", GNU)
def test_directories_of_an_incremental_archive(form: str, tree: Path, tmp_path: Path) -> None:
    tar(tree, f"--format={form}", "-g", tmp_path / "snapshot", "-cf", tmp_path / "image")
    assert_same(tree, tmp_path / "image")


@pytest.mark.parametrize("form", FORMATS)
def test_attributes_of_a_whole_archive(form: str, tree: Path, tmp_path: Path) -> None:
    words = ["--pax-option=globexthdr.name=global,comment=said"] if form == "pax" else []
    tar(tree, f"--format={form}", *words, "-cf", tmp_path / "image")
    assert_same(tree, tmp_path / "image")


@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_one_of_several_volumes(form: str, tree: Path, tmp_path: Path) -> None:
    volumes = [tmp_path / f"volume-{number}" for number in range(4)]
    names = [word for volume in volumes for word in ("-f", volume)]
    tar(tree, f"--format={form}", "-V", "all", "-M", "-L", 150, "-c", *names)
    with pytest.raises(InspectError, match=r"within \./large, or is the first of several volumes"):
        open_tree(volumes[0])
    for volume in [volumes[1]]:
        with pytest.raises(InspectError, match=r"is a tar archive: it continues .*large"):
            open_tree(volume)
