"""Initrds: archives of every format and compression, in any order, held against cpio."""

from __future__ import annotations

import itertools
import os
import random
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import formats
import pytest

from kiwinb.errors import InspectError
from kiwinb.inspect.formats import open_tree
from kiwinb.inspect.formats.directory import DirectoryTree
from kiwinb.inspect.formats.initrd import InitrdTree, Section

CPIO = {"newc": "newc", "crc": "crc", "odc": "odc", "bin": "binary"}
"""Formats as GNU cpio names them, and as kiwinb does."""

PACKERS: Mapping[str, str] = {
    "": "cat",
    "gzip": "gzip -n",
    "zstd": "zstd -q --no-check",
    "xz": "xz --check=crc32",
    "lzma": "lzma",
    "lzo": "lzop -9",
    "lzo, fast": "lzop -1 --crc32",
    "lz4": "lz4 -q -l",
    "lz4, frame": "lz4 -q",
    "bzip2": "bzip2",
}
PADDING = (0, 1, 3, 4, 508, 512, 70_000)
LOST = formats.Made("", ("mtime",), lambda path: path == "/")


def compression(packer: str) -> str:
    return packer.partition(",")[0]


def fill(root: Path, number: int) -> Path:
    """A tree that replaces some of what the trees before it have."""
    chance = random.Random(number)
    (root / "etc/deep").mkdir(parents=True)
    (root / f"only-{number}").write_text(f"{number}")
    (root / "etc/same").write_bytes(f"from {number} ".encode() * (300 * number + 1))
    (root / "etc/deep/empty").touch()
    (root / "etc/deep/random").write_bytes(chance.randbytes(40_000 + number))
    (root / "etc/lines").write_text("".join(f"line {n * 7919 % 977}\n" for n in range(30_000)))
    os.link(root / "etc/lines", root / "etc/other-name")
    os.link(root / "etc/deep/empty", root / "empty-too")
    (root / "link").symlink_to(f"etc/only-{number}")
    os.mkfifo(root / "pipe")
    (root / "etc/same").chmod(0o640 if number % 2 else 0o4755)
    (root / "etc").chmod(0o750 if number % 2 else 0o755)
    for path in root.rglob("*"):
        os.utime(path, (1_600_000_000 + number,) * 2, follow_symlinks=False)
    return root


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("initrd"))


@dataclass(frozen=True)
class Made:
    """Trees, and archives of them; each is made once."""

    place: Path

    def tree(self, number: int) -> Path:
        root = self.place / f"tree-{number}"
        return root if root.exists() else fill(root, number)

    def archive(self, number: int, form: str) -> Path:
        file = self.place / f"{number}.{form}"
        if not file.exists():
            command = 'cd "$tree"; find . -print0 | cpio --quiet -o0 -H $form > "$file"'
            formats.shell(command, tree=self.tree(number), file=file, form=form)
        return file

    def packed(self, number: int, form: str, packer: str) -> bytes:
        command = f"{PACKERS[packer]} < {self.archive(number, form)}"
        done = subprocess.run(command, shell=True, capture_output=True, check=True)
        return done.stdout

    def unpacked(self, to: Path, archives: Sequence[tuple[int, str]]) -> Path:
        """What cpio unpacks, one archive after the other."""
        to.mkdir()
        for number, form in archives:
            command = 'cd "$to"; cpio --quiet -idum --no-absolute-filenames < "$file"'
            formats.shell(command, to=to, file=self.archive(number, form))
        return to


@cache
def packed(made: Made, number: int, form: str, packer: str) -> bytes:
    return made.packed(number, form, packer)


def differences(expected: Path, image: Path | str, made: formats.Made = LOST) -> list[str]:
    with open_tree(image) as tree, DirectoryTree(expected) as known:
        return formats.differences(known, tree, made)


@pytest.mark.needs("cpio", "lzop", "lz4", "zstd", "xz", "lzma", "bzip2")
@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("form", CPIO)
def test_one_archive(made: Made, form: str, packer: str, tmp_path: Path) -> None:
    (tmp_path / "it").write_bytes(packed(made, 1, form, packer))
    with_times = formats.Made("", (), lambda path: path == "/")
    assert differences(made.tree(1), tmp_path / "it", with_times) == []
    with open_tree(tmp_path / "it") as tree:
        assert isinstance(tree, InitrdTree)
        assert tree.sections == (Section(CPIO[form], compression(packer), 0, 12),)


@pytest.mark.needs("cpio", "lzop", "lz4", "zstd", "xz", "lzma", "bzip2")
@pytest.mark.parametrize("first", PACKERS)
def test_every_one_before_every_other(made: Made, first: str, tmp_path: Path) -> None:
    """All ordered pairs of compressions, with formats and paddings in turn; each one alone, too."""
    pairs = itertools.product(CPIO, CPIO)
    chance = random.Random(first)
    for turn, second in enumerate(PACKERS):
        forms = list(pairs)[turn % 16] if turn == 0 else (chance.choice([*CPIO]), [*CPIO][turn % 4])
        padding = PADDING[(turn + len(first)) % len(PADDING)]
        image = tmp_path / f"{turn}"
        parts = [packed(made, n, forms[n - 1], p) for n, p in ((1, first), (2, second))]
        image.write_bytes(parts[0] + bytes(padding) + parts[1])
        expected = made.unpacked(tmp_path / f"tree-{turn}", ((1, forms[0]), (2, forms[1])))
        what = (first, second, forms, padding)
        assert (what, differences(expected, image)) == (what, [])
        for number in (1, 2):
            alone = differences(made.tree(number), f"{image}#{number}")
            assert (what, number, alone) == (what, number, [])
        with open_tree(image) as tree:
            assert isinstance(tree, InitrdTree)
            said = [(item.format, item.compression) for item in tree.sections]
        assert said == [
            (CPIO[form], compression(packer))
            for form, packer in zip(forms, (first, second), strict=True)
        ]


@pytest.mark.needs("cpio", "lzop", "lz4", "zstd", "xz", "lzma", "bzip2")
@pytest.mark.parametrize("seed", range(12))
def test_any_number_in_any_order(made: Made, seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    count = chance.randint(3, 6)
    forms = [chance.choice([*CPIO]) for _ in range(count)]
    packers = [chance.choice([*PACKERS]) for _ in range(count)]
    content = bytes(chance.choice((0, 0, 4, 512)))
    for number, (form, packer) in enumerate(zip(forms, packers, strict=True), 1):
        content += packed(made, number, form, packer) + bytes(chance.choice(PADDING))
    (tmp_path / "it").write_bytes(content)
    numbered = [*enumerate(forms, 1)]
    assert differences(made.unpacked(tmp_path / "tree", numbered), tmp_path / "it") == []
    for number in range(1, count + 1):
        assert differences(made.tree(number), f"{tmp_path / 'it'}#{number}") == []


@pytest.mark.needs("cpio", "lzop", "lz4", "zstd", "xz", "lzma", "bzip2")
@pytest.mark.parametrize("packer", [packer for packer in PACKERS if packer])
def test_archives_that_are_compressed_together(made: Made, packer: str, tmp_path: Path) -> None:
    for number in (1, 2):
        made.archive(number, "newc")
    both = "".join(f"{made.archive(number, 'newc')} " for number in (1, 2))
    command = f"(cat {both}; head -c 3000 /dev/zero) | {PACKERS[packer]} > {tmp_path / 'it'}"
    subprocess.run(command, shell=True, check=True)
    expected = made.unpacked(tmp_path / "tree", ((1, "newc"), (2, "newc")))
    assert differences(expected, tmp_path / "it") == []
    assert differences(made.tree(1), f"{tmp_path / 'it'}#1") == []


@pytest.mark.needs("cpio", "lz4")
@pytest.mark.parametrize("size", [-1, 0, 1, 8 << 20])
def test_full_blocks_of_lz4_before_another(made: Made, size: int, tmp_path: Path) -> None:
    """The format has no end mark: only a block that is not full tells the end, or what follows."""
    root = tmp_path / "big"
    root.mkdir()
    (root / "file").write_bytes(random.Random(1).randbytes(1 << 20) * 7)
    archive = tmp_path / "big.newc"
    formats.shell('cd "$r"; find . | cpio --quiet -o -H newc > "$f"', r=root, f=archive)
    plain = archive.read_bytes()
    plain += bytes((8 << 20) + size - len(plain))
    archive.write_bytes(plain)
    done = subprocess.run(["lz4", "-q", "-l", "-c", archive], capture_output=True, check=True)
    for packer in ("gzip", "xz", "lz4", ""):
        second = packed(made, 1, "newc", packer)
        (tmp_path / "it").write_bytes(done.stdout + second)
        assert differences(made.tree(1), f"{tmp_path / 'it'}#2") == []
        assert differences(root, f"{tmp_path / 'it'}#1") == []


@pytest.mark.needs("cpio")
def test_binary_of_machines_with_the_other_byte_order(tmp_path: Path) -> None:
    content = b""
    for name, mode, data in ((b"file", 0o100640, b"odd"), (b"TRAILER!!!", 0, b"")):
        words = (0o070707, 1, 7, mode, 3, 4, 1, 0, 24414, 5, len(name) + 1, 0, len(data))
        content += struct.pack(">13H", *words) + name + bytes(2 - len(name) % 2)
        content += data + bytes(len(data) % 2)
    (tmp_path / "it").write_bytes(content + bytes(512))
    (tmp_path / "tree").mkdir()
    formats.shell('cd "$t"; cpio --quiet -idm < ../it', t=tmp_path / "tree")
    lost = formats.Made("", () if os.geteuid() == 0 else ("uid", "gid"), lambda path: path == "/")
    assert differences(tmp_path / "tree", tmp_path / "it", lost) == []


def test_what_follows_the_last_archive_is_told(made: Made, tmp_path: Path) -> None:
    plain = packed(made, 1, "newc", "")
    for rest, what in (
        (b"key = value\n\0" + bytes(8) + b"#BOOTCONFIG\n", "boot configuration"),
        (b"something else", "unknown data"),
    ):
        (tmp_path / "it").write_bytes(plain + rest)
        with open_tree(tmp_path / "it") as tree:
            assert isinstance(tree, InitrdTree)
            assert [item.format for item in tree.sections] == ["newc", what]
            assert tree.exists("/only-1")


def test_an_archive_that_is_not_there(made: Made, tmp_path: Path) -> None:
    (tmp_path / "it").write_bytes(packed(made, 1, "newc", "") + packed(made, 2, "odc", "xz"))
    for name in ("0", "3", "first"):
        with pytest.raises(InspectError, match=f"has no archive '{name}'") as caught:
            open_tree(f"{tmp_path / 'it'}#{name}")
        assert "1: newc, 12 entries, at byte 0; 2: odc, xz, 12 entries" in str(caught.value.remedy)
    (tmp_path / "it#3").mkdir()
    assert isinstance(open_tree(tmp_path / "it#3"), DirectoryTree)
    with pytest.raises(InspectError, match="holds only one tree"):
        open_tree(f"{tmp_path / 'it#3'}#1")


@pytest.mark.parametrize("packer", ["gzip", "zstd", "lzo", "lz4", "lzma"])
def test_a_later_archive_that_is_damaged(made: Made, packer: str, tmp_path: Path) -> None:
    """It is an error: what is before it is not all."""
    later = packed(made, 2, "newc", packer)
    (tmp_path / "it").write_bytes(packed(made, 1, "newc", "") + later[: len(later) // 2])
    with open_tree(tmp_path / "it") as tree, pytest.raises(InspectError, match="is damaged"):
        tree.scan()
