"""Images that the kernel mounted and wrote: every column is what the kernel shows of them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import formats
import pytest
from mounting import differences, mounted

from kiwinb.inspect.formats import open_tree
from kiwinb.inspect.formats.btrfs import BtrfsTree
from kiwinb.inspect.formats.directory import DirectoryTree
from kiwinb.sandbox.worker import Report, call

pytestmark = [
    pytest.mark.build,
    pytest.mark.account("root"),
]

ALL = ("type", "size", "allocated", "mode", "uid", "gid", "links", "inode", "mtime", "target")
STORED = tuple(name for name in ALL if name != "allocated")
"""Columns where ``allocated`` is what is compressed in the image, which the kernel does not say."""

WRITTEN = {
    "ext2 of revision 0": (
        # the first spelling is that of e2fsprogs before 1.47.1
        'old() { mke2fs -q -t ext2 -b 1024 -r 0 "$1" || '
        'mke2fs -q -t ext2 -b 1024 -E revision=0 "$1"; }; old',
        "ext2",
        "loop",
    ),
    "ext4": ("mke2fs -q -t ext4", "ext4", "loop"),
    "ext4 with inline data": ("mke2fs -q -t ext4 -O inline_data -I 512", "ext4", "loop"),
    "ext4 with meta_bg": (
        "mke2fs -q -t ext4 -O meta_bg,^resize_inode,^flex_bg -b 1024 -g 2048",
        "ext4",
        "loop",
    ),
    "xfs": ("mkfs.xfs -q", "xfs", "loop"),
    "xfs of small blocks": ("mkfs.xfs -q -b size=1024 -n size=16384", "xfs", "loop"),
    "btrfs": ("mkfs.btrfs -q", "btrfs", "loop"),
    "btrfs with zstd": ("mkfs.btrfs -q -M -n 4096", "btrfs", "loop,compress-force=zstd"),
    "btrfs with zlib": ("mkfs.btrfs -q -m single", "btrfs", "loop,compress-force=zlib"),
}
PACKED = {
    **{
        f"squashfs {name}": ("squashfs", f'mksquashfs "$tree" "$image" -quiet -comp {name}')
        for name in ("xz", "zstd")
    },
    **{
        f"erofs {options}": ("erofs", f'rm -r "$tree"/nnn*; mkfs.erofs {options} "$image" "$tree"')
        for options in ("-x-1", "-x-1 -zlz4hc", "-x-1 -Eforce-inode-extended", "--chunksize=4096")
    },
}


def tree(top: Path) -> Path:
    root = formats.tree_for_images(top / "tree")
    for number in range(1500):
        (root / "many" / f"one-of-very-many-files-{number}").write_bytes(b"x" * (number % 50))
    with (root / "fragments").open("wb") as file:
        for number in range(600):
            file.seek(number * 20_000)
            file.write(os.urandom(3000))
    with (root / "holes").open("wb") as file:
        file.truncate(1 << 33)
        file.seek((1 << 32) + 77)
        file.write(b"here")
    (root / "link-of-59").symlink_to("y" * 59)
    (root / "link-of-60").symlink_to("z" * 60)
    (root / "link-of-900").symlink_to("/".join(["x" * 99] * 9))
    os.utime(root / "lines", (5e9, 5e9))
    os.utime(root / "random", (-86400, -86400))
    return root


def _written(kind: str, _report: Report) -> list[str]:
    command, mount, options = WRITTEN[kind]
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        image = top / "image"
        formats.shell(f'truncate -s 400M "$image"; {command} "$image"', image=image)
        with mounted(image, mount, options) as place:
            subprocess.run(["cp", "-a", f"{tree(top)}/.", place], check=True)
            subprocess.run(["mount", "-o", "remount,ro", place], check=True)  # nothing in a log
            with open_tree(image) as found:
                old = kind == "ext2 of revision 0"  # it has no room for late times
                columns = tuple(name for name in ALL if not (old and name == "mtime"))
                return differences(found, DirectoryTree(place), columns)


def _packed(kind: str, _report: Report) -> list[str]:
    mount, command = PACKED[kind]
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        root = tree(top)
        (root / "holes").unlink()
        formats.shell(command, tree=root, image=top / "image")
        with mounted(top / "image", mount, "loop,ro") as place, open_tree(top / "image") as found:
            return differences(found, DirectoryTree(place), STORED)


def _subvolumes(_argument: None, _report: Report) -> list[object]:
    with tempfile.TemporaryDirectory() as directory:
        image = Path(directory) / "image"
        formats.shell('truncate -s 200M "$image"; mkfs.btrfs -q "$image"', image=image)
        with mounted(image, "btrfs", "loop") as place:
            for name in ("@", "@/inner", "@home"):
                formats.shell('btrfs subvolume create "$place/$name"', place=place, name=name)
            (place / "@" / "inner" / "file").write_text("inside")
            (place / "@" / "etc").mkdir()
            (place / "@home" / "user").mkdir()
            formats.shell('btrfs subvolume snapshot -r "$place/@" "$place/@snapshot"', place=place)
            formats.shell('btrfs subvolume set-default "$place/@"', place=place)
            subprocess.run(["mount", "-o", "remount,ro", place], check=True)
            with open_tree(image) as found:
                assert isinstance(found, BtrfsTree)
                home = found.subvolume("@home")
                whole = found.subvolume("/")
                with mounted(image, "btrfs", "loop,ro,subvol=/") as top:
                    shown = DirectoryTree(top).scan()["path"].tolist()
                return [
                    found.scan()["path"].tolist(),
                    found.read("/inner/file").decode(),
                    home.scan()["path"].tolist(),
                    whole.scan()["path"].tolist() == shown,
                    bool(whole.scan()["inode"].is_unique),
                ]


@pytest.mark.parametrize("kind", WRITTEN)
def test_file_systems_that_the_kernel_wrote(kind: str) -> None:
    assert call(_written, kind) == []


@pytest.mark.parametrize("kind", PACKED)
def test_file_systems_that_tools_wrote(kind: str) -> None:
    assert call(_packed, kind) == []


def test_subvolumes_of_btrfs() -> None:
    assert call(_subvolumes, None) == [
        ["/", "/etc", "/inner", "/inner/file"],
        "inside",
        ["/", "/user"],
        True,
        True,
    ]
