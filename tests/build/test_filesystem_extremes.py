"""Trees at the limits of what file systems hold, made by kiwinb, and read by the kernel."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from extreme_tree import TIB, Measure, make_extreme_tree
from kernel_mounts import check, mounted, own_namespace
from made_filesystem import MIB, make

from kiwinb.checkpoints.treescan import Entry, compare
from kiwinb.storage.filesystem.content import Content

pytestmark = [pytest.mark.build, pytest.mark.account("root")]

EPOCH = 4_000_000_000
NO_TIMES = 1 << 40

SMALL = Measure()
OF_EXT = Measure(attributes=30, value=1800)
OF_XFS = Measure(
    attributes=500,
    value=65_536,
    target=1023,
    major=511,
    minor=(1 << 18) - 1,
    hole=4096 * TIB,
    times=(-(1 << 31), 16_000_000_000),
)
OF_BTRFS = Measure(
    attributes=500, value=16_000, hole=4096 * TIB, times=(-(1 << 33), 16_000_000_000)
)
OF_SQUASHFS = Measure(
    attributes=500,
    value=60_000,
    times=(0, EPOCH),
    special=False,
    flags=(),
    long=False,
    hole=1 << 25,
)
OF_EROFS = replace(OF_SQUASHFS, name=254, special=True, attributes=100, value=8000)
READ_ONLY = {"squashfs": OF_SQUASHFS, "erofs": OF_EROFS}
KINDS = {
    "ext3": replace(OF_EXT, hole=(1 << 41) - (1 << 33)),
    "ext4": OF_EXT,
    "xfs": OF_XFS,
    "btrfs": OF_BTRFS,
}


@pytest.fixture(scope="module", autouse=True)
def namespace() -> Iterator[None]:
    with own_namespace():
        yield


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs, because it holds more than other file systems."""
    place = tmp_path / "memory"
    place.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4g,nr_inodes=2m", "tmpfs", place], check=True
    )
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def options(kind: str, *more: str) -> str:
    return ",".join((*more, *(["nouuid"] if kind == "xfs" else [])))


def seen(entries: tuple[Entry, ...]) -> list[Entry]:
    """Without what XFS shows twice, and mke2fs makes."""
    return [
        replace(entry, xattrs=tuple(x for x in entry.xattrs if not x[0].startswith("trusted.SGI")))
        for entry in entries
        if entry.path != b"lost+found"
    ]


def data_of(content: Content, entry: Entry) -> str:
    """A digest of the content without its zeros, since holes are too large to be read."""
    found = hashlib.sha256()
    for offset, piece in content.pieces(entry):
        for start in range(0, len(piece), 4096):
            block = piece[start : start + 4096]
            if block.strip(b"\0"):
                found.update(b"%d:" % (offset + start) + block)
    return found.hexdigest()


def hold_against(
    content: Content, root: Path, seconds: int = 1, *, holes: bool = True, timeless: bool = False
) -> None:
    """Compare everything."""
    found = Content(root, ("lost+found",), NO_TIMES)
    expected = content
    differences = compare(seen(expected.entries), seen(found.entries))
    assert not differences, differences[:9]
    for entry in expected.entries:
        if timeless and entry.kind == "symlink":
            continue
        times = expected.modified_ns(entry) // seconds, found.modified_ns(entry) // seconds
        assert times[0] == times[1], entry.path
        assert expected.flags(entry) == found.flags(entry), entry.path
        if entry.kind == "file":
            assert data_of(expected, entry) == data_of(found, entry), entry.path
        if entry.kind == "file" and expected.sparse(entry) and holes:
            assert os.lstat(found.source(entry)).st_blocks <= 8 * 1600, entry.path


def make_checked(root: Path, image: Path, kind: str, epoch: int) -> Content:
    content = make(root, image, kind, epoch=epoch)
    check(image, kind, epoch)
    return content


def epoch_of(kind: str) -> int:
    return EPOCH if kind.startswith("ext") else 16_000_000_000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.proves("file system", "ext3 ext4 xfs btrfs")
def test_the_kernel_reads_all_of_it(memory: Path, tmp_path: Path, kind: str) -> None:
    tree = make_extreme_tree(memory / "tree", KINDS[kind])
    content = make_checked(tree, tmp_path / "image", kind, epoch_of(kind))
    with mounted(tmp_path / "image", options(kind, "ro")) as root:
        hold_against(content, root)
    grow_and_fill(tmp_path / "image", kind)


def grow_and_fill(image: Path, kind: str) -> None:
    """Let the kernel grow it and write to it until it is full, and check it again."""
    with image.open("r+b") as file:
        file.truncate(image.stat().st_size + 64 * MIB)
    grow = {"xfs": ["xfs_growfs"], "btrfs": ["btrfs", "filesystem", "resize", "max"]}
    if kind.startswith("ext"):
        subprocess.run(["resize2fs", "-f", image], check=True, capture_output=True)
    with mounted(image, options(kind, "rw")) as root:
        if kind in grow:
            subprocess.run([*grow[kind], root], check=True, stdout=subprocess.PIPE)
        if kind == "btrfs":
            words: list[str | Path] = ["btrfs", "subvolume", "snapshot", root, root / "snap"]
            subprocess.run(words, check=True, stdout=subprocess.PIPE)
            words = ["btrfs", "scrub", "start", "-B", root]
            subprocess.run(words, check=True, stdout=subprocess.PIPE)
        for number in range(0, 300, 2):
            next((root / "files").glob(f"{number}-*")).unlink()
            (root / f"files/new-{number}-{'y' * 60}").touch()
            (root / f"subdirectories/new-{number}").mkdir()
        shutil.rmtree(root / "names")
        os.setxattr(root / "metadata/attributes", "user.new", b"new")
        os.removexattr(root / "metadata/attributes", "user.1-n")
        try:
            with (root / "full").open("wb", buffering=0) as file:
                while file.write(b"f" * MIB):
                    pass
        except OSError as error:
            assert error.errno == 28
        subprocess.run(["sync", "-f", root], check=True)
    check(image, kind, epoch_of(kind))


@pytest.mark.needs("mksquashfs", "mkfs.erofs")
@pytest.mark.parametrize("kind", READ_ONLY)
@pytest.mark.proves("file system", "squashfs erofs")
def test_the_kernel_reads_all_of_what_tools_make(memory: Path, tmp_path: Path, kind: str) -> None:
    tree = make_extreme_tree(memory / "tree", READ_ONLY[kind])
    content = make(tree, tmp_path / "image", kind, epoch=EPOCH)
    with mounted(tmp_path / "image", "ro") as root:
        hold_against(content, root, 10**9, holes=False, timeless=kind == "erofs")


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_the_kernel_reads_very_much(memory: Path, tmp_path: Path, kind: str) -> None:
    tree = make_extreme_tree(
        memory / "tree",
        replace(KINDS[kind], files=100_000, depth=500, links=65_000, subdirectories=66_000),
    )
    content = make_checked(tree, tmp_path / "image", kind, epoch_of(kind))
    with mounted(tmp_path / "image", options(kind, "ro")) as root:
        hold_against(content, root)
    grow_and_fill(tmp_path / "image", kind)
