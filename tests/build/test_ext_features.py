"""Every combination of features that mke2fs makes, read as the kernel or debugfs reads it."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import tempfile
from pathlib import Path

import formats
import pytest
from covering import Row, covering
from mounting import differences, mounted

from kiwinb.inspect.formats import open_tree
from kiwinb.inspect.formats.directory import DirectoryTree
from kiwinb.sandbox.worker import Report, call

pytestmark = [pytest.mark.build, pytest.mark.account("root"), pytest.mark.needs("mke2fs")]

ALL = ("type", "size", "allocated", "mode", "uid", "gid", "links", "inode", "mtime", "target")
DUMPED = ("type", "size", "mode", "uid", "gid", "mtime", "target")
"""What debugfs shows in a directory to which it writes a file system."""

OPTIONAL = (
    "has_journal",
    "extent",
    "inline_data",
    "64bit",
    "flex_bg",
    "filetype",
    "large_file",
    "huge_file",
    "dir_nlink",
    "extra_isize",
    "ext_attr",
    "dir_index",
    "large_dir",
    "ea_inode",
    "casefold",
    "encrypt",
    "verity",
    "orphan_file",
    "fast_commit",
    "mmp",
    "stable_inodes",
)
FACTORS = {
    "block": ("1024", "2048", "4096"),
    "cluster": ("", "4", "16"),  # blocks in each
    "inode": ("128", "256", "512", "1024"),
    "checksums": ("", "uninit_bg", "metadata_csum", "metadata_csum,metadata_csum_seed"),
    "copies": ("", "sparse_super", "sparse_super2"),
    "descriptors": ("", "meta_bg", "resize_inode"),
    "quota": ("", "quota", "quota,project"),
    **{name: ("", name) for name in OPTIONAL},
}
LARGE_INODE = ("inline_data", "extra_isize")


_GROUP = 1 << 20
"""Size of a block group in bytes; small, so that an image has many."""


def possible(row: Row) -> bool:
    """Tell whether mke2fs can make it."""
    small = row["inode"] == "128"
    needs = (
        not row["cluster"] or row["extent"],
        not small or not any(row[name] for name in LARGE_INODE),
        not small or "project" not in row["quota"],
        row["has_journal"] or not (row["orphan_file"] or row["fast_commit"]),
        int(row["inode"]) <= int(row["block"]),
        row["64bit"] == "" or row["extent"],
        row["descriptors"] != "resize_inode" or row["copies"] == "sparse_super",
        not row["verity"] or row["extent"],
        not row["mmp"] or not row["casefold"],  # debugfs waits long before it changes an image
    )
    return all(needs)


_LARGE = dict.fromkeys(FACTORS, "") | {"block": "65536", "inode": "256", "extent": "extent"}
ROWS = [
    *covering(FACTORS, possible),
    _LARGE | {"filetype": "filetype", "inline_data": "inline_data"},
    _LARGE | {"cluster": "4", "checksums": "metadata_csum", "dir_index": "dir_index"},
    _LARGE | {"extent": "", "descriptors": "meta_bg", "mmp": "mmp", "casefold": "casefold"},
]
WRITTEN = [
    {**row, "casefold": "", "quota": ""}
    for row in ROWS
    if int(row["block"]) <= os.sysconf("SC_PAGE_SIZE")
]
NOT_STORED = ("casefold", "quota", "project")
"""Features of which an image has nothing but a bit, if no directory uses them. Not every kernel
mounts them."""


def options(row: Row) -> str:
    features = [value for name, value in row.items() if name not in ("block", "cluster", "inode")]
    features += ["bigalloc"] if row["cluster"] else []
    named = ",".join(["none", *filter(None, features)])
    words = f"-b {row['block']} -I {row['inode']} -O {named} -N 6000 -m 0"
    if row["cluster"]:
        words += f" -C {int(row['block']) * int(row['cluster'])}"
    return f"{words} -g {max(256, _GROUP // int(row['block']))}"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_content(tmp_path_factory.mktemp("content") / "root")


def make_content(root: Path) -> Path:
    formats.tree_for_images(root)
    for path in (*root.glob("many/*"),):
        if not path.name.endswith("00"):
            path.unlink()
    (root / "large").mkdir()
    for number in range(1800):
        (root / "large" / f"an-entry-of-a-large-directory-{number:05}").touch()
    for size in (1, 59, 60, 61, 100, 140, 160, 200, 400, 800, 1000, 5000, 70_000):
        with (root / f"hole-of-{size}").open("wb") as file:
            file.truncate(size)
        (root / f"data-of-{size}").write_bytes(bytes(number % 251 + 1 for number in range(size)))
        with (root / f"both-of-{size}").open("wb") as file:
            file.write(b"start")
            file.truncate(size)
    with (root / "far").open("wb") as file:
        file.truncate(3 << 30)
        file.seek((2 << 30) + 77)
        file.write(b"here")
    with (root / "fragments").open("wb") as file:
        for number in range(60):
            file.seek(number * 200_000)
            file.write(os.urandom(3000))
    for length in (1, 58, 59, 60, 61, 120, 900):
        (root / f"link-of-{length}").symlink_to(
            ("x" * 99 + "/") * (length // 100) + "y" * (length % 100)
        )
    for number in range(1, 40):
        small = root / f"directory-of-{number}"
        small.mkdir()
        for entry in range(number % 14):
            (small / f"entry-{entry}").touch()
    os.setxattr(root / "data-of-100", "user.note", b"n" * 90)
    os.setxattr(root / "hole-of-100", "user.note", b"n" * 900)
    return root


def _mountable(image: Path) -> bool:
    with tempfile.TemporaryDirectory() as place:
        words = ["mount", "-t", "ext4", "-o", "loop,ro", str(image), place]
        refused = subprocess.run(words, capture_output=True).returncode
        if not refused:
            subprocess.run(["umount", place], check=True)
        return not refused


def _as_made(job: tuple[Path, Path], _report: Report) -> list[str]:
    """Hold what mke2fs made against the kernel, or against debugfs if the kernel refuses it."""
    image, top = job
    with open_tree(image) as found:
        other = top / "other"
        if not _mountable(image):
            formats.shell(
                'cp --sparse=always "$image" "$other"; debugfs -w -R "feature $off" "$other"',
                image=image,
                other=other,
                off=" ".join(f"-{name}" for name in NOT_STORED),
            )
            image = other
        if _mountable(image):
            with mounted(image, "ext4", "loop,ro") as place:
                return differences(found, DirectoryTree(place), ALL)
        special = [
            path
            for path in found.scan()["path"]
            if path.startswith(("/nodes/", "/fifo", "/socket"))
        ]
        assert special
        with tempfile.TemporaryDirectory(dir=top) as dump:  # it writes holes as zeros: 6 GiB
            words = ["debugfs", "-R", f"rdump / {dump}", str(image)]
            subprocess.run(words, check=True, capture_output=True)
            found_of = differences(found, DirectoryTree(Path(dump)), DUMPED)
        return [text for text in found_of if text.split()[0] not in special]


def _as_written(job: tuple[Path, Path], _report: Report) -> list[str]:
    """Let the kernel write the content."""
    image, root = job
    with mounted(image, "ext4", "loop") as place:
        subprocess.run(["cp", "-a", "--sparse=always", f"{root}/.", place], check=True)
        for number in range(0, 1800, 2):
            (place / "large" / f"an-entry-of-a-large-directory-{number:05}").unlink()
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        with open_tree(image) as found:
            return differences(found, DirectoryTree(place), ALL)


def make(row: Row, image: Path, *, root: Path | None = None) -> None:
    image.unlink(missing_ok=True)
    given = f'-d "{root}"' if root else ""
    formats.shell(
        f'truncate -s 200M "$image"; mke2fs -q -F {options(row)} {given} "$image" < /dev/null',
        image=image,
    )


@pytest.mark.parametrize("row", ROWS, ids=options)
def test_what_mke2fs_makes(row: Row, content: Path, tmp_path: Path) -> None:
    image, top = tmp_path / "image", tmp_path / "top"
    top.mkdir()
    make(row, image, root=content)
    assert call(_as_made, (image, top)) == []


@pytest.mark.parametrize("row", WRITTEN, ids=options)
def test_what_the_kernel_writes(row: Row, content: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    make(row, image)
    assert call(_as_written, (image, content)) == []


def test_each_pair_of_features_occurs() -> None:
    for one, other in itertools.combinations(FACTORS, 2):
        pairs = {(row[one], row[other]) for row in ROWS}
        wanted = set(itertools.product(FACTORS[one], FACTORS[other]))
        assert all(_excluded({one: a, other: b}) for a, b in wanted - pairs)


def _excluded(pair: dict[str, str]) -> bool:
    """Tell whether no row with the pair can be made."""
    chance = random.Random(2)
    rows = ({name: chance.choice(FACTORS[name]) for name in FACTORS} | pair for _ in range(4000))
    return not any(map(possible, rows))
