"""What cannot be opened is named: file systems and volumes that their own tools made."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import formats
import pytest

from kiwinb.errors import InspectError
from kiwinb.inspect.formats import open_tree
from kiwinb.inspect.formats.disk import DiskTree
from kiwinb.inspect.formats.indexed import Volume
from kiwinb.inspect.formats.signatures import Signature, identify
from kiwinb.inspect.formats.superblocks import FILES, FILESYSTEMS
from kiwinb.inspect.formats.window import Window


class Maker(NamedTuple):
    """How a volume is made.

    Attributes:
        tool: The program.
        command: Shell command that makes ``$image``, which exists and has the size; ``$tree`` is a
            directory with a file.
        said: What the message calls it.
        size: Size in MiB.
        compared: Facts that blkid gives, too.
    """

    tool: str
    command: str
    said: str
    size: int = 10
    compared: tuple[str, ...] = ("TYPE", "LABEL", "UUID")


TYPE = ("TYPE",)
SAME_UUID = ("TYPE", "UUID")
_LUKS = "echo key | cryptsetup luksFormat -q --pbkdf-force-iterations 1000"
MAKERS = {
    "udf": Maker("mkudffs", 'mkudffs -l it "$image"', "a UDF file system", compared=TYPE),
    "udf of large blocks": Maker("mkudffs", 'mkudffs -b 4096 "$image"', "a UDF", compared=TYPE),
    "exfat": Maker("mkfs.exfat", 'mkfs.exfat "$image"', "an exFAT file system", 10, SAME_UUID),
    "f2fs": Maker("mkfs.f2fs", 'mkfs.f2fs -l it "$image"', "an F2FS file system", 60),
    "ntfs": Maker("mkntfs", 'mkntfs -F -q "$image"', "an NTFS file system"),
    "jfs": Maker("mkfs.jfs", 'mkfs.jfs -q -L it "$image"', "a JFS file system", 20),
    "reiserfs": Maker("mkfs.reiserfs", 'mkfs.reiserfs -qff -l it "$image"', "a ReiserFS", 40),
    "nilfs2": Maker("mkfs.nilfs2", 'mkfs.nilfs2 -L it "$image"', "a NILFS2 file system", 140),
    "gfs2": Maker("mkfs.gfs2", 'mkfs.gfs2 -O -p lock_nolock -j1 -J8 "$image"', "a GFS2 file", 60),
    "ocfs2": Maker("mkfs.ocfs2", 'yes | mkfs.ocfs2 -M local "$image"', "an OCFS2", 60, TYPE),
    "minix 1": Maker("mkfs.minix", 'mkfs.minix -1 "$image"', "a Minix file system"),
    "minix 2": Maker("mkfs.minix", 'mkfs.minix -2 "$image"', "a Minix file system"),
    "minix 3": Maker("mkfs.minix", 'mkfs.minix -3 "$image"', "a Minix file system"),
    "cramfs": Maker("mkfs.cramfs", 'mkfs.cramfs -n it "$tree" "$image"', "a cramfs file system"),
    "romfs": Maker("genromfs", 'genromfs -d "$tree" -V it -f "$image"', "a romfs file system"),
    "bfs": Maker("mkfs.bfs", 'mkfs.bfs "$image"', "a BFS file system of SCO", 1),
    "ubifs": Maker(
        "mkfs.ubifs", 'mkfs.ubifs -r "$tree" -m 2048 -e 126976 -c 100 -o "$image"', "a UBIFS"
    ),
    "jffs2": Maker("mkfs.jffs2", 'mkfs.jffs2 -d "$tree" -o "$image"', "a JFFS2", 0, ()),
    "luks 1": Maker("cryptsetup", f'{_LUKS} --type luks1 "$image" -', "an encrypted volume", 20),
    "luks 2": Maker(
        "cryptsetup",
        f'{_LUKS} --type luks2 --pbkdf pbkdf2 --label it "$image" -',
        "an encrypted volume",
        20,
    ),
    "hashes of verity": Maker(
        "veritysetup", 'veritysetup format "$tree/file" "$image"', "a hash tree of dm-verity"
    ),
    "swap": Maker("mkswap", 'mkswap -q -L it "$image"', "a swap area"),
    "zip": Maker("bsdtar", 'bsdtar --format=zip -cf "$image" "$tree/file"', "a ZIP", 0, ()),
    "7z": Maker("bsdtar", 'bsdtar --format=7zip -cf "$image" "$tree/file"', "a 7z archive", 0, ()),
    "ar": Maker("bsdtar", 'bsdtar --format=ar -cf "$image" "$tree/file"', "an ar archive", 0, ()),
}


def identified(image: Path) -> tuple[Signature, Volume] | None:
    with closing(Window.of(image)) as window:
        return identify(window)


@pytest.fixture
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    maker: Maker = MAKERS[request.param]
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(b"x" * 100_000)
    image = tmp_path / "image"
    formats.shell(f'truncate -s {maker.size}M "$image"; {maker.command}', image=image, tree=tree)
    return image


def made() -> Iterator[object]:
    for name, maker in MAKERS.items():
        yield pytest.param(name, name, marks=pytest.mark.needs(maker.tool), id=name)


@pytest.mark.parametrize(("image", "name"), list(made()), indirect=["image"])
def test_it_is_named(image: Path, name: str) -> None:
    maker = MAKERS[name]
    with pytest.raises(InspectError, match=f"image is {maker.said}") as caught:
        open_tree(image)
    assert caught.value.remedy
    if maker.compared:
        found = identified(image)
        assert found is not None
        volume = found[1]
        ours = {"TYPE": volume.filesystem, "LABEL": volume.label, "UUID": volume.uuid}
        words: list[str | Path] = ["blkid", "-p", "-o", "export", image]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        facts = dict(line.split("=", 1) for line in done.stdout.splitlines())
        for key in maker.compared:
            assert ours[key] == facts.get(key, ""), key
        assert_named_in_a_partition(image, maker, volume)


def assert_named_in_a_partition(image: Path, maker: Maker, volume: Volume) -> None:
    disk = image.parent / "disk"
    size = (image.stat().st_size >> 20) + 1
    formats.shell(
        'truncate -s $((size + 3))M "$disk"; echo "1M,${size}M" | sfdisk -q -X gpt "$disk"; '
        'dd if="$image" of="$disk" bs=1M seek=1 conv=notrunc',
        disk=disk,
        image=image,
        size=size,
    )
    with open_tree(disk) as tree:
        assert isinstance(tree, DiskTree)
        parts = tree.parts().set_index("number")
        assert parts.loc[1, "filesystem"] == volume.filesystem
        with pytest.raises(
            InspectError, match="no partition with files that can be read"
        ) as caught:
            tree.scan()
        if volume.filesystem != "swap":
            assert f"Partition 1 is {maker.said}" in str(caught.value)


@pytest.mark.parametrize("kind", [*FILESYSTEMS, *FILES])
def test_nothing_else_is_taken_for_it(kind: str, tmp_path: Path) -> None:
    """Also of those whose tools Debian does not have."""
    block = {**FILESYSTEMS, **FILES}[kind]
    image = tmp_path / "image"
    for at, magic in block.magics[:3]:
        with image.open("wb") as file:
            file.truncate(2 << 20)
            file.seek(at)
            file.write(magic)
        with closing(Window.of(image)) as window:
            complete = block.check(window)
        if complete:
            with pytest.raises(InspectError, match=re.escape(f"image is {block.what}")):
                open_tree(image)
        with image.open("r+b") as file:
            file.truncate(at + len(magic))
        with pytest.raises(InspectError):
            open_tree(image)


@pytest.mark.parametrize(
    ("at", "magic"), [(3, b"NTFS    "), (0, b"\xfc\x4e\x2b\xa9"), (0, b"LUKS\xba\xbe")]
)
def test_too_short(at: int, magic: bytes, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(bytes(at) + magic)
    with pytest.raises(InspectError, match="image is "):
        open_tree(tmp_path / "image")


def test_a_file_system_is_not_taken_for_minix(tmp_path: Path) -> None:
    """The number of free inodes is where Minix has its magic number."""
    image = tmp_path / "image"
    formats.shell(
        'truncate -s 8M "$image"; mke2fs -q -N 5120 "$image"; '
        'debugfs -w -R "set_super_value free_inodes_count 4991" "$image"; '
        'truncate -s 12M "$disk"; echo 1M,8M | sfdisk -q -X gpt "$disk"; '
        'dd if="$image" of="$disk" bs=1M seek=1 conv=notrunc',
        image=image,
        disk=tmp_path / "disk",
    )
    assert image.read_bytes()[1024 + 16 : 1024 + 18] == b"\x7f\x13"
    for file in (image, tmp_path / "disk"):
        with open_tree(file) as tree:
            assert tree.exists("/lost+found")
