"""The same tree in every format gives the same table, but for what the formats cannot hold."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import formats
import pytest

from kiwinb.errors import InspectError
from kiwinb.inspect.formats import open_tree
from kiwinb.inspect.formats.directory import DirectoryTree
from kiwinb.sandbox.tools import search_path
from kiwinb.sandbox.worker import Report, call


def _compare(kinds: tuple[str, ...], _report: Report) -> dict[str, list[str]]:
    """Differences by format; the tree is made once."""
    answers = {}
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        root = formats.tree_for_images(top / "tree")
        for kind in kinds:
            image = formats.make(kind, root, top / "image")
            try:
                answers[kind] = _differences(root, image, kind)
            except InspectError as error:
                answers[kind] = [str(error)]
            image.unlink()
    return answers


def _differences(root: Path, image: Path, kind: str) -> list[str]:
    with open_tree(image) as tree:
        found = formats.differences(DirectoryTree(root), tree, formats.MADE[kind])
        if not tree.exists("/a/deep/again") or tree.exists("/a/deep/nothing"):
            found.append("exists() is wrong")
        if tree.read("/lines", 12) != (root / "lines").read_bytes()[:12]:
            found.append("read() with a limit is wrong")
    return found


TOOLS = {"erofs": "mkfs.erofs"}
"""Programs that make a kind, where not every machine has them."""


@cache
def _answers() -> dict[str, list[str]]:
    return call(_compare, tuple(kind for kind in formats.MADE if _has_tool(kind)))


def _has_tool(kind: str) -> bool:
    tool = TOOLS.get(kind.split()[0])
    return tool is None or shutil.which(tool, path=search_path()) is not None


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.needs(TOOLS[kind.split()[0]]))
        if kind.split()[0] in TOOLS
        else kind
        for kind in formats.MADE
    ],
)
def test_the_table_is_that_of_the_directory(kind: str) -> None:
    assert _answers()[kind] == []


def test_fat(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "EFI" / "BOOT").mkdir(parents=True)
    (tree / "EFI" / "BOOT" / "BOOTX64.EFI").write_bytes(bytes(range(256)) * 999)
    (tree / "EFI" / "a long name with ünïcode.conf").write_text("x")
    (tree / "EMPTY").touch()
    for number in range(200):
        (tree / "EFI" / f"file{number}.Mod").write_bytes(b"m" * number * 30)
    for bits, size in (("12", "4M"), ("16", "30M"), ("32", "80M")):
        image = tmp_path / f"fat{bits}"
        command = 'truncate -s $size "$image"; mkfs.vfat -F $bits -n ESP -i 1234ABCD "$image"'
        formats.shell(
            f"{command}; mcopy -smi $image $tree/* ::",
            **{"size": size, "bits": bits, "image": image, "tree": tree},
        )
        with open_tree(image) as found, DirectoryTree(tree) as known:
            made = formats.Made("", ("mode", "uid", "gid", "links", "mtime"))
            assert formats.differences(known, found, made) == []
            assert set(found.scan()["mode"]) == {0o755}
            volume = found.volume  # type: ignore[attr-defined]
            assert (volume.filesystem, volume.label, volume.uuid) == ("vfat", "ESP", "1234-ABCD")
            assert 0 < volume.used < volume.size


def test_squashfs_bytes_add_up(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    for number in range(300):
        (tmp_path / "tree" / str(number)).write_bytes(os.urandom(number * 9))
    formats.make("squashfs zstd", tmp_path / "tree", tmp_path / "image")
    with open_tree(tmp_path / "image") as tree:
        taken = int(tree.scan().drop_duplicates("inode")["allocated"].sum())
    size = (tmp_path / "image").stat().st_size
    assert size * 0.5 < taken < size
