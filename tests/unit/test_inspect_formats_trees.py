"""Directories and checkpoints as trees."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import formats
import pytest
from odd_tree import make_tree

from kiwinb.checkpoints.runner import run_steps
from kiwinb.checkpoints.store import Store
from kiwinb.errors import InspectError
from kiwinb.inspect.formats import open_tree
from kiwinb.inspect.formats.directory import DirectoryTree
from kiwinb.sandbox.devices import make_device
from kiwinb.sandbox.worker import Report, call
from kiwinb.steps.step import DraftStep, HostPaths, Output, StepContext, seal


def _against_find(_argument: None, _report: Report) -> tuple[list[str], list[str]]:
    with tempfile.TemporaryDirectory() as directory:
        root = make_tree(Path(directory) / "tree")
        form = r"/%P\t%s\t%b\t%m\t%U\t%G\t%n\t%i\t%T@\t%l\0"
        output = subprocess.run(["find", root, "-printf", form], capture_output=True, check=True)
        expected = []
        for line in output.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]:
            path, size, blocks, mode, uid, gid, links, inode, mtime, target = line.split("\t")
            regular = stat.S_ISREG(os.lstat(f"{root}{path}").st_mode)
            words = (path, int(size) if regular else 0, int(blocks) * 512, int(mode, 8), uid, gid)
            expected.append(ascii((*words, links, inode, mtime.split(".")[0], target)))
        found = [
            ascii(
                (
                    r.path,
                    r.size,
                    r.allocated,
                    r.mode,
                    str(r.uid),
                    str(r.gid),
                    str(r.links),
                    str(r.inode),
                    str(r.mtime),
                    r.target,
                )
            )
            for r in DirectoryTree(root).scan().itertuples()
        ]
        return sorted(expected), sorted(found)


def test_a_directory_is_what_find_says() -> None:
    expected, found = call(_against_find, None)
    assert found == expected


def test_nothing_outside_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    root = tmp_path / "tree"
    root.mkdir()
    (root / "out").symlink_to(tmp_path)
    (root / "file").symlink_to(tmp_path / "secret")
    os.mkfifo(root / "fifo")
    tree = DirectoryTree(root)
    for path in ("/out/secret", "/file", "/../secret", "/fifo", "/", "/nothing"):
        with pytest.raises(InspectError, match="has no file"):
            tree.read(path)
    assert tree.exists("/file") and not tree.exists("/out/secret")


def test_sparse_files_of_terabytes_are_no_trouble(tmp_path: Path) -> None:
    with (tmp_path / "lastlog").open("wb") as file:
        file.truncate(1 << 42)
        file.seek(1 << 41)
        file.write(b"here")
    tree = DirectoryTree(tmp_path)
    assert len(tree.digests(["/lastlog"])["/lastlog"]) == 64
    assert tree.read("/lastlog", 10) == bytes(10)
    with pytest.raises(InspectError, match="too large"):
        tree.read("/lastlog")


@dataclass(frozen=True)
class Fill:
    """Put things into a tree."""

    number: int
    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        root = context.root
        if self.number == 1:
            (root / "usr").mkdir()
            (root / "usr" / "gone").write_text("x")
            (root / "usr" / "kept").write_text("first")
            make_device(root / "null", stat.S_IFCHR | 0o666, 1, 3)
        else:
            (root / "usr" / "gone").unlink()
            (root / "usr" / "owned").write_text("second")
            os.chown(root / "usr" / "owned", 1000, 65534)


def test_a_checkpoint(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    steps = seal((DraftStep("one", "One", Fill(1)), DraftStep("two", "Two", Fill(2), base="one")))
    run_steps(store, steps, HostPaths(cache=Path("/nonexistent")))
    with open_tree((store, steps[-1].key)) as tree:
        table = tree.scan().set_index("path")
        assert list(table.index) == ["/", "/null", "/usr", "/usr/kept", "/usr/owned"]
        assert table.loc["/null", "type"] == "char"
        assert (table.loc["/usr/owned", "uid"], table.loc["/usr/owned", "gid"]) == (1000, 65534)
        assert tree.read("/usr/kept") == b"first"
        assert tree.exists("/usr/owned") and not tree.exists("/usr/gone")
        assert tree.read_many(["/usr/owned", "/usr/kept"])["/usr/owned"] == b"second"
        with pytest.raises(InspectError, match="has no file"):
            tree.read("/usr/gone")
    store.export_tree(steps[-1].key, tmp_path / "exported")
    with open_tree(tmp_path / "exported") as other, open_tree((store, steps[-1].key)) as tree:
        if os.getuid() == 0:
            made = formats.Made("", ("mtime", "links"), lambda path: path == "/")
            assert formats.differences(tree, other, made) == []
