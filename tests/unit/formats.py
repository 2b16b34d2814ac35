"""Make an image of a tree in each format with its own tools, and hold tables against each other."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from odd_tree import make_tree

from kiwinb.inspect.formats.directory import DirectoryTree
from kiwinb.inspect.tree import Tree

COLUMNS = ("type", "size", "mode", "uid", "gid", "links", "mtime", "target")


def tree_for_images(place: Path) -> Path:
    """The odd tree without what some tools cannot take, and with files of several blocks."""
    root = make_tree(place)
    if (root / "nodes" / "null").is_file():
        shutil.rmtree(root / "nodes")  # rootless: stand-ins, which other tools do not know
    for name in ("acl", "inherits"):  # changes modes in some of the formats
        for attribute in os.listxattr(root / name):
            if "acl" in attribute:
                os.removexattr(root / name, attribute)
    (root / "random").write_bytes(os.urandom(700_000))
    (root / "lines").write_text("".join(f"line {number * 7919}\n" for number in range(60_000)))
    with (root / "small-hole").open("wb") as file:
        file.truncate(100)
    (root / "many").mkdir()
    for number in range(400):
        (root / "many" / f"a-file-of-many-{number:03}").write_bytes(b"z" * number)
    (root / "wide-owner").write_text("w")
    os.chown(root / "wide-owner", 60001, 60002)
    for name in ("long-link", "longer-link"):
        times = 25 if name == "long-link" else 45
        (root / name).symlink_to("../" * times + "x")
    for folder, names, files in os.walk(root, topdown=False):
        for name in files + names:
            os.utime(f"{folder}/{name}", (1.6e9, 1.6e9), follow_symlinks=False)
    os.utime(root, (1.6e9, 1.6e9))
    DirectoryTree(root).scan()  # reads links: where their atime changes, mksquashfs misses links
    return root


def shell(command: str, **names: object) -> None:
    words = {name: str(value) for name, value in names.items()}
    subprocess.run(
        command, shell=True, check=True, env={**os.environ, **words}, capture_output=True
    )


@dataclass(frozen=True)
class Made:
    """How an image is made.

    Attributes:
        command: Shell command; ``$tree`` is made into ``$image``.
        lost: Columns that the format or its tool cannot hold.
        left_out: Whether a path is not in it.
    """

    command: str
    lost: tuple[str, ...] = ()
    left_out: Callable[[str], bool] = lambda path: False


def _socket(path: str) -> bool:
    return path == "/socket"


def _long_name(path: str) -> bool:
    return len(path) > 255 or path.startswith(("/nnn", "/ddd")) or path in ("/a/near", "/far")


_EXT = 'truncate -s 64M "$image"; mke2fs -q -F -d "$tree" -E root_owner=3:4'
_SQUASH = 'mksquashfs "$tree" "$image" -quiet -no-progress -comp'
MADE: Mapping[str, Made] = {
    # mke2fs -d makes each name of a symbolic link a link of its own
    "ext2": Made(f'{_EXT} -t ext2 "$image"', ("links",), lambda p: p in ("/", "/lost+found")),
    "ext4": Made(f'{_EXT} -t ext4 "$image"', ("links",), lambda p: p in ("/", "/lost+found")),
    **{
        f"ext4 {name}": Made(
            f'{_EXT} -t ext4 {options} "$image"',
            ("links",),
            # mke2fs cuts off a hole at the end if it may put content in inodes
            lambda p: p in ("/", "/lost+found", "/sparse"),
        )
        for name, options in {
            "of clusters": "-b 1024 -O bigalloc -C 4096",
            "with content in inodes": "-O inline_data -I 512",
            "without types of entries": "-O ^filetype,metadata_csum",
            "with scattered descriptors": (
                "-b 1024 -g 1024 -O bigalloc,meta_bg,sparse_super2,^resize_inode,^flex_bg -C 4096"
            ),
        }.items()
    },
    "squashfs gzip": Made(f"{_SQUASH} gzip"),
    "squashfs xz": Made(f"{_SQUASH} xz"),
    "squashfs zstd": Made(f"{_SQUASH} zstd"),
    "squashfs lzo": Made(f"{_SQUASH} lzo"),
    "squashfs lzma": Made(f"{_SQUASH} lzma"),
    "squashfs lz4": Made(f"{_SQUASH} lz4"),
    "iso9660": Made('xorriso -as mkisofs -R -J -o "$image" "$tree"', ("hard links",)),
    "tar": Made('tar -C "$tree" --sparse -cf "$image" .', (), _socket),
    "tar gz": Made('tar -C "$tree" --format=posix -czf "$image" .', (), _socket),
    "tar bz2": Made('tar -C "$tree" -cjf "$image" .', (), _socket),
    "tar xz": Made('tar -C "$tree" -cJf "$image" .', (), _socket),
    "tar zst": Made('tar -C "$tree" -c . | zstd -q > "$image"', (), _socket),
    "cpio": Made('cd "$tree"; find . -print0 | cpio --quiet -o0 -H newc > "$image"'),
    "cpio gz": Made('cd "$tree"; find . -print0 | cpio --quiet -o0 -H newc | gzip > "$image"'),
    "erofs": Made(
        'mkfs.erofs -x-1 --exclude-regex="^n{255}$" "$image" "$tree"',
        (),
        lambda p: p.startswith("/nnn"),
    ),
    "erofs lz4": Made(
        'mkfs.erofs -x-1 -zlz4hc --exclude-regex="^n{255}$" "$image" "$tree"',
        (),
        lambda p: p.startswith("/nnn"),
    ),
    "btrfs": Made(
        'truncate -s 200M "$image"; mkfs.btrfs -q --rootdir "$tree" "$image"',
        ("hard links",),
        lambda p: p == "/",
    ),
}


def make(kind: str, tree: Path, image: Path) -> Path:
    shell(MADE[kind].command, tree=tree, image=image)
    return image


def differences(one: Tree, other: Tree, made: Made = MADE["cpio"]) -> list[str]:
    """How tables and contents of two trees differ, but for what a format loses."""
    a, b = (_facts(tree.scan(), made) for tree in (one, other))
    found = [
        f"{path}: only in {n}" for n, x, y in ((1, a, b), (2, b, a)) for path in x.keys() - y.keys()
    ]
    shared = sorted(a.keys() & b.keys())
    found += [f"{path}: {a[path]} {b[path]}" for path in shared if a[path] != b[path]]
    files = [path for path in shared if a[path]["type"] == b[path]["type"] == "file"]
    left, right = one.digests(files), other.digests(files)
    found += [f"{path}: other content" for path in files if left[path] != right[path]]
    sample = [path for path in files if a[path]["size"] < 10_000]
    if one.read_many(sample) != other.read_many(sample):
        found.append("read_many gives other contents")
    return [text[:400] for text in found]


def _facts(table: pd.DataFrame, made: Made) -> dict[str, dict[str, Any]]:
    assert table["path"].is_monotonic_increasing and table["path"].is_unique
    linked = table[table["type"] != "directory"].groupby("inode")["path"].agg(tuple)
    groups = {path: paths for paths in linked for path in paths}
    rows = {}
    for row in table.to_dict("records"):
        path = str(row["path"])
        if made.left_out(path):
            continue
        facts: dict[str, Any] = {name: row[name] for name in COLUMNS if name not in made.lost}
        if "links" not in made.lost and "hard links" not in made.lost:
            facts["group"] = groups.get(path)
        if "hard links" in made.lost:
            facts.pop("links", None)
        rows[path] = facts
    return rows
