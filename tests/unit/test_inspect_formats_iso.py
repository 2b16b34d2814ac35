"""Files that zisofs compressed, in ISO 9660 images that xorriso made."""

from __future__ import annotations

import os
from pathlib import Path

import formats
import pytest

from kiwinb.errors import InspectError
from kiwinb.inspect.formats import open_tree

pytestmark = pytest.mark.needs("xorriso")

OPTIONS = {
    "version 1": "version_2=off:block_size=32k",
    "version 1 of large blocks": "version_2=off:block_size=128k",
    "version 2": "version_2=on:block_size_v2=32k",
    "version 2 of large blocks": "version_2=on:block_size_v2=1024k",
    "version 2 with entries of their own": "version_2=on:susp_z2=on",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    root.mkdir()
    contents = {
        "empty": b"",
        "small": b"x",
        "lines": "".join(f"line {number * 7919}\n" for number in range(60_000)).encode(),
        "zeros": bytes(500_000),
        "mixed": b"a" * 100_000 + bytes(300_000) + os.urandom(70_000) + b"end",
        "random": os.urandom(200_000),
    }
    for name, content in contents.items():
        (root / name).write_bytes(content)
    return root


def make(tree: Path, options: str) -> Path:
    image = tree.parent / "image.iso"
    formats.shell(
        f'xorriso -outdev "$image" -zisofs level=9:{options} -map "$tree" / '
        "-set_filter_r --zisofs / -- -commit",
        tree=tree,
        image=image,
    )
    return image


@pytest.mark.parametrize("name", OPTIONS)
def test_compressed_files(name: str, tree: Path) -> None:
    image = make(tree, OPTIONS[name])
    plain = sum(file.stat().st_size for file in tree.iterdir())
    assert image.stat().st_size < plain  # they are compressed
    with open_tree(image) as found:
        sizes = found.scan().set_index("path")["size"]
        for file in tree.iterdir():
            content = file.read_bytes()
            assert found.read(f"/{file.name}") == content
            assert found.read(f"/{file.name}", 40_000) == content[:40_000]
            assert sizes[f"/{file.name}"] == len(content)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"ZF\x10\x02PZ", b"ZF\x10\x02XZ"),  # another method
        (b"\xef\x22\x55\xa1\xbc\x1b\x95\xa0\0", b"\xef\x22\x55\xa1\xbc\x1b\x95\xa0\1"),  # version
        (b"\xef\x22\x55\xa1", b"\xef\x22\x55\xa2"),
    ],
)
def test_what_is_compressed_in_an_unknown_way_is_not_shown(
    old: bytes, new: bytes, tree: Path
) -> None:
    image = make(tree, OPTIONS["version 2"])
    data = image.read_bytes()
    assert old in data
    image.write_bytes(data.replace(old, new))
    with open_tree(image) as found:
        assert found.scan().set_index("path").loc["/zeros", "size"] == 500_000
        assert found.read("/random") == (tree / "random").read_bytes()
        with pytest.raises(InspectError, match="a file is compressed in an unknown way"):
            found.read("/zeros")


def test_damaged_blocks(tree: Path) -> None:
    image = make(tree, OPTIONS["version 2"])
    data = bytearray(image.read_bytes())
    at = data.index(b"\xef\x22\x55\xa1")
    data[at + 24 + 8 : at + 24 + 16] = b"\xff" * 8
    image.write_bytes(data)
    with open_tree(image) as found, pytest.raises(InspectError, match="damaged: a compressed file"):
        found.digests([f"/{file.name}" for file in tree.iterdir()])
