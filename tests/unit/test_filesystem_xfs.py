from __future__ import annotations

import filecmp
import os
import re
import subprocess
from pathlib import Path

import pytest
from made_filesystem import MIB, UUID, make, make_larger_tree

from kiwinb.errors import ImageError
from kiwinb.storage.filesystem.spec import FilesystemFull
from kiwinb.storage.filesystem.xfs_directory import name_hash
from kiwinb.storage.filesystem.xfs_geometry import balanced


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_larger_tree(tmp_path_factory.mktemp("xfs") / "tree")


@pytest.fixture(scope="module")
def image(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("xfs") / "image"
    make(tree, place, "xfs")
    return place


def check(image: Path) -> None:
    done = subprocess.run(["xfs_repair", "-n", "-f", image], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not re.search(r"would|bad|corrupt|mismatch|disconnected", _remarks(done.stdout))


def _remarks(text: str) -> str:
    """What xfs_repair says, without the lines that it always prints."""
    return "\n".join(
        line for line in text.splitlines() if not line.startswith(("Phase", " ", "No"))
    )


def look(image: Path, *commands: str) -> str:
    given = (option for command in commands for option in ("-c", command))
    done = subprocess.run(["xfs_db", "-r", "-f", *given, image], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.proves("file system", "xfs")
def test_it_is_sound_and_the_same_each_time(tree: Path, image: Path, tmp_path: Path) -> None:
    check(image)
    make(tree, tmp_path / "again", "xfs")
    assert filecmp.cmp(image, tmp_path / "again", shallow=False)
    assert image.stat().st_blocks * 512 < (64 + 16) * MIB  # the journal has 64
    assert UUID in look(image, "uuid")
    assert '"ROOT"' in look(image, "label")


def test_inodes_say_what_the_tree_says(image: Path) -> None:
    def fields(path: str, *names: str) -> dict[str, str]:
        text = look(image, f"path {path}", f"print {' '.join(names)}")
        return dict(line.split(" = ", 1) for line in text.splitlines())

    assert fields("/setuid", "core.mode")["core.mode"] == "0104755"
    assert fields("/a/file", "core.uid", "core.gid", "core.nlinkv2") == {
        "core.uid": "1000",
        "core.gid": "65534",
        "core.nlinkv2": "3",
    }
    assert fields("/nodes/sda", "core.mode", "u3.dev") == {
        "core.mode": "060660",
        "u3.dev": hex(8 << 18),
    }
    assert fields("/many-names/first", "core.nlinkv2")["core.nlinkv2"] == "401"
    assert fields("/sparse", "core.size", "core.nblocks") == {
        "core.size": str(3 * MIB),
        "core.nblocks": "1",
    }
    forms = {
        "/with-11": "1 (local)",
        "/with-1500": "2 (extents)",
        "/600-pieces": "3 (btree)",
        "/dangling": "1 (local)",
        "/remote": "2 (extents)",
    }
    found = {path: fields(path, "core.format")["core.format"] for path in forms}
    assert found == forms


@pytest.mark.parametrize(
    ("options", "sector_size"),
    [((), 4096), (("-i", "size=1024"), 512), (("-m", "bigtime=0,reflink=0"), 512)],
)
@pytest.mark.proves("file system", "xfs", "fscreateoptions")
def test_options(tree: Path, tmp_path: Path, options: tuple[str, ...], sector_size: int) -> None:
    make(tree, tmp_path / "image", "xfs", options=options, sector_size=sector_size)
    check(tmp_path / "image")
    if sector_size == 4096:
        assert "sectsize = 4096" in look(tmp_path / "image", "sb 0", "print sectsize")


def test_many_files_take_several_index_blocks(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    for number in range(16_130):
        os.symlink("x", tmp_path / f"tree/{number}")  # noqa: PTH211
    make(tmp_path / "tree", tmp_path / "image", "xfs")
    check(tmp_path / "image")
    levels = look(tmp_path / "image", "agi 0", "print level")
    assert levels == "level = 2\n"


@pytest.mark.parametrize("options", [("-m", "rmapbt=1"), ("-b", "size=1024"), ("-n", "size=8192")])
def test_features_that_are_not_filled(tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "tree").mkdir()
    with pytest.raises(ImageError, match=r"blocks of 4096|features of XFS"):
        make(tmp_path / "tree", tmp_path / "image", "xfs", options=options)


def test_too_small(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(b"x" * (162 * MIB))
    with pytest.raises(FilesystemFull, match="too small"):
        make(
            tree,
            tmp_path / "image",
            "xfs",
            size=300 * MIB,
            options=("-d", "agcount=2", "-l", "size=140m"),
        )
    with pytest.raises(FilesystemFull, match="300 MiB at least"):
        make(tree, tmp_path / "image", "xfs", size=10 * MIB)


def test_what_xfs_cannot_keep(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    with pytest.raises(ImageError, match="label 'more than twelve' is too long"):
        make(tree, tmp_path / "image", "xfs", label="more than twelve")
    (tree / "link").symlink_to("/".join(["d" * 100] * 11))
    with pytest.raises(ImageError, match="link: it is a symbolic link to a path of 1110 bytes"):
        make(tree, tmp_path / "image", "xfs")


@pytest.mark.parametrize("name", [".", "..", "SGI_ACL_FILE", "a-longer-name.with.dots"])
def test_name_hash(image: Path, name: str) -> None:
    assert int(look(image, f"hash {name}"), 16) == name_hash(name.encode())


def test_balanced() -> None:
    assert balanced([], 3) == [[]]
    assert balanced([1, 2, 3], 3) == [[1, 2, 3]]
    assert [len(part) for part in balanced(range(253), 252)] == [126, 127]
