"""Trees for file systems, and file systems made of them."""

from __future__ import annotations

import os
from pathlib import Path

from odd_tree import EPOCH, make_tree

from kiwinb.storage.filesystem import FILESYSTEMS
from kiwinb.storage.filesystem.btrfs_items import name_hash
from kiwinb.storage.filesystem.content import Content
from kiwinb.storage.filesystem.spec import Filesystem, Watch

UUID = "6a2a4f0e-3a0b-4b55-9d6f-0f0e7b6f3c11"
MIB = 1 << 20


def make_larger_tree(root: Path) -> Path:
    """The odd tree, and directories, files and links that do not fit where small ones do."""
    make_tree(root)
    for count in (11, 12, 90, 130, 480, 520, 1500):
        directory = root / f"with-{count}"
        directory.mkdir()
        for number in range(count):
            (directory / f"{number:04d}{'y' * (number % 40)}").symlink_to("x")
    many = root / "many-names"
    many.mkdir()
    (many / "first").write_text("so many names")
    for number in range(400):
        os.link(many / "first", many / f"{'link' * 5}-{number}")
    for pieces in (18, 22, 600):
        with (root / f"{pieces}-pieces").open("wb") as file:
            for number in range(pieces):
                file.seek(number * 8192)
                file.write(b"piece %d" % number)
    for size in (1, 2047, 2048, 2049, 4095, 4096, 4097, 3 * MIB + 5):
        (root / f"{size}-bytes").write_bytes(os.urandom(64) * (size // 64 + 1))
        os.truncate(root / f"{size}-bytes", size)
    os.setxattr(root / "22-pieces", "user.long", b"v" * 200)
    os.setxattr(root / "with-11", "user.longer", b"v" * 2000)
    os.setxattr(root / "many-names", "security.other", b"")
    (root / "remote").symlink_to("/".join(["q" * 90] * 10))
    os.setxattr(root / "remote", "trusted.note", b"left out", follow_symlinks=False)
    (root / "old").touch()
    os.utime(root / "old", ns=(0, 0))
    return root


def make(
    tree: Path,
    image: Path,
    kind: str,
    *,
    label: str | None = "ROOT",
    options: tuple[str, ...] = (),
    sector_size: int = 512,
    size: int | None = None,
    epoch: int = EPOCH,
) -> Content:
    """Make a file system of a tree, as large as it has to be unless told otherwise."""
    content, maker = Content(tree, (), epoch), FILESYSTEMS[kind]
    fractions: list[float] = []
    with image.open("wb") as file:
        file.truncate(size or -(-maker.size(content.need) // MIB) * MIB)
    spec = Filesystem(FILESYSTEMS.use(kind), UUID, label, options, sector_size)
    maker.make(image, spec, content, Watch(lambda line: None, fractions.append))
    assert fractions == sorted(fractions)
    return content


def colliding_names(count: int) -> list[bytes]:
    """Names of 255 bytes that have the same hash in btrfs."""
    table = [_shifted(byte) for byte in range(256)]
    by_top = {value >> 24: index for index, value in enumerate(table)}
    state = name_hash(b"the first name")
    for _ in range(4):
        index = by_top[state >> 24]
        state = ((state ^ table[index]) << 8 | index) & 0xFFFFFFFF
    found: list[bytes] = []
    number = 0
    while len(found) < count:
        start = b"%0251d" % number
        name = start + (state ^ name_hash(start)).to_bytes(4, "little")
        if not set(name) & set(b"\0/"):
            found.append(name)
        number += 1
    assert len({name_hash(name) for name in found}) == 1
    return found


def _shifted(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value
