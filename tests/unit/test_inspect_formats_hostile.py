"""What is damaged, hostile or of no known format gives one clear error, in bounded time."""

from __future__ import annotations

import random
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import formats
import pytest
from test_inspect_formats_disk import make_disk

from kiwinb.errors import InspectError
from kiwinb.inspect.formats import open_tree
from kiwinb.inspect.tree import Hole, digest

KINDS = (
    "ext2",
    "ext4",
    "squashfs gzip",
    "squashfs zstd",
    "squashfs lz4",
    "iso9660",
    "tar",
    "tar gz",
    "tar zst",
    "cpio",
    "btrfs",
    pytest.param("erofs", marks=pytest.mark.needs("mkfs.erofs")),
    "disk",
    "vfat",
    "xfs",
)
MUTATIONS = 10


def plain_tree(root: Path) -> Path:
    (root / "etc" / "deep").mkdir(parents=True)
    (root / "etc" / "fstab").write_text("UUID=x / ext4 defaults 0 1\n")
    for number in range(60):
        (root / "etc" / f"file-{number}").write_text(f"{number} " * number * 20)
    (root / "link").symlink_to("etc/" + "long/" * 30)
    (root / "etc" / "deep" / "more").write_bytes(random.Random(1).randbytes(200_000))
    return root


def make(kind: str, top: Path) -> Path:
    if kind == "disk":
        return make_disk(top, "gpt")
    root, image = plain_tree(top / "tree"), top / "image"
    if kind == "vfat":
        (root / "link").unlink()
        formats.shell(
            'truncate -s 8M "$i"; mkfs.vfat "$i"; mcopy -smi "$i" $t/* ::', i=image, t=root
        )
    elif kind == "xfs":
        lines = ["x", "0 0", "d--755 0 0"]
        lines += [
            f"{p.name} ---644 1 2 {p}" for p in sorted((root / "etc").iterdir()) if p.is_file()
        ]
        (top / "proto").write_text("\n".join([*lines, "$", ""]))
        formats.shell('truncate -s 320M "$i"; mkfs.xfs -q -p "$p" "$i"', i=image, p=top / "proto")
    else:
        formats.make(kind, root, image)
    return image


def read_all(image: Path) -> None:
    with open_tree(image) as tree:
        table = tree.scan()
        tree.digests(table[table["type"] == "file"]["path"].tolist()[:200])


@contextmanager
def bounded_memory() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_images_give_an_error_or_a_table(kind: str, tmp_path: Path) -> None:
    image = make(kind, tmp_path)
    read_all(image)
    data = image.read_bytes()
    used = [at for at in range(0, len(data), 512) if data[at : at + 512].strip(b"\0")]
    chance = random.Random(kind)
    with bounded_memory():
        for _ in range(MUTATIONS):
            places = []
            with image.open("r+b") as file:
                for _ in range(chance.choice((1, 4, 20))):
                    at = chance.choice(used[: chance.choice((4, 60, len(used)))])
                    at += chance.randrange(512)
                    value = chance.choice(
                        (b"\0", b"\xff", b"\xff\xff\xff\xff", chance.randbytes(8))
                    )
                    places.append((at, value))
                    file.seek(at)
                    file.write(value)
                file.truncate(len(data))
            try:
                read_all(image)
            except InspectError as error:
                assert len(str(error)) < 1500
            except BaseException:
                print(kind, places, file=sys.stderr)
                raise
            with image.open("r+b") as file:
                for at, value in places:
                    file.seek(at)
                    file.write(data[at : at + len(value)])


@pytest.mark.parametrize("kind", KINDS)
def test_images_that_end_early(kind: str, tmp_path: Path) -> None:
    image = make(kind, tmp_path)
    size = image.stat().st_size
    for left in (size // 2, 70_000, 1024):
        with image.open("r+b") as file:
            file.truncate(left)
        try:
            read_all(image)
        except InspectError as error:
            assert str(image) in str(error)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"#!/bin/sh\necho nothing\n" * 100, "no format that is known"),
        (b"LUKS\xba\xbe\0\2" + bytes(9000), "encrypted volume"),
        (bytes(512) + b"LABELONE" + bytes(16) + b"LVM2 001" + b"a" * 32 + bytes(9000), "LVM"),
        (bytes(4086) + b"SWAPSPACE2" + bytes(9000), "swap area"),
        (b"\x1f\x8b\x08" + b"nonsense" * 20, "compressed with gzip"),
        (b"\xfd7zXZ\0" + b"nonsense" * 20, "compressed with xz"),
        (b"\x28\xb5\x2f\xfd" + b"nonsense" * 20, "compressed with zstd"),
        (b"QFI\xfb" + b"\0\0\0\3" + b"nonsense" * 100, "qcow2 disk"),
    ],
)
def test_what_cannot_be_opened_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "it").write_bytes(content)
    with pytest.raises(InspectError, match=said) as caught:
        open_tree(tmp_path / "it")
    assert caught.value.remedy


def test_what_is_not_there() -> None:
    with pytest.raises(InspectError, match="is not there"):
        open_tree("/nowhere/at/all")
    with pytest.raises(InspectError, match="not a file or directory"):
        open_tree("/dev/null")


def test_a_bomb_of_zeros_takes_no_room(tmp_path: Path) -> None:
    subprocess.run(f"head -c 256M /dev/zero | zstd -q -1 > {tmp_path}/bomb", shell=True, check=True)
    with bounded_memory(), pytest.raises(InspectError, match="no format"):
        open_tree(tmp_path / "bomb")


def test_digests_do_not_depend_on_holes() -> None:
    size = (1 << 29) + 12345
    data = b"data" * 5000
    where = 300_000_001
    one = (Hole(where), data, Hole(size - where - len(data)))
    two = (
        Hole(7),
        bytes(1 << 20),
        Hole(where - 7 - (1 << 20) - 3),
        bytes(3) + data[:11],
        data[11:],
    )
    three = (*two, Hole(1 << 40))
    assert digest(one, size) == digest((*two, Hole(size)), size) == digest(three, size)
    other = (Hole(where + 1), data, Hole(size))
    assert digest(one, size) != digest(other, size)
    assert digest((b"abc",), 3).startswith("ba7816bf")
