"""Disks in every format of virtual machines, compressed with every tool, and more than once."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path

import formats
import pytest

from kiwinb.errors import InspectError
from kiwinb.inspect.formats import open_tree
from kiwinb.inspect.formats.ext import ExtTree

DISKS = {
    "raw": "-O raw",
    "qcow": "-O qcow",
    "qcow2": "-O qcow2",
    "qcow2 of old": "-O qcow2 -o compat=0.10",
    "qcow2 compressed inside": "-c -O qcow2",
    "qcow2 with zstd inside": "-c -O qcow2 -o compression_type=zstd",
    "qed": "-O qed",
    "vmdk": "-O vmdk",
    "vmdk as a stream": "-O vmdk -o subformat=streamOptimized",
    "vdi": "-O vdi",
    "vdi of fixed size": "-O vdi -o static=on",
    "vhd": "-O vpc -o force_size=on",
    "vhd of fixed size": "-O vpc -o subformat=fixed,force_size=on",
    "vhdx": "-O vhdx",
    "vhdx of fixed size": "-O vhdx -o subformat=fixed",
    "parallels": "-O parallels",
}
TOOLS = {
    "gz": "gzip",
    "bz2": "bzip2",
    "xz": "xz -0",
    "lzma": "xz -0 --format=lzma",
    "zst": "zstd -q",
    "lz4": "lz4 -q",
    "lz4 of old": "lz4 -q -l",
    "lzo": "lzop",
}
MANY_TIMES = {
    "xz in gz": "xz -0 | gzip",
    "zst in lz4 in bz2": "zstd -q | lz4 -q | bzip2",
    "gz in gz in gz in gz": "gzip | gzip | gzip | gzip",
    "two gz, one after the other": "head -c 100000 | gzip; gzip",
}


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("disks")
    (top / "root").mkdir()
    (top / "root" / "file").write_bytes(b"the content\n" * 9000)
    raw = top / "raw"
    formats.shell('truncate -s 2M "$raw"; mke2fs -q -d "$root" "$raw"', raw=raw, root=top / "root")
    found = {}
    for name, options in DISKS.items():
        found[name] = top / f"disk {name}"
        formats.shell(
            f'qemu-img convert -q -f raw {options} "$raw" "$disk"', raw=raw, disk=found[name]
        )
    return found


def compress(disk: Path, tools: str, target: Path) -> Path:
    script = f'{{ {tools}; }} < "$2" > "$1"'
    subprocess.run(["bash", "-ec", script, "-", target, disk], check=True)
    return target


def content(image: Path) -> bytes:
    with open_tree(image) as tree:
        assert isinstance(tree, ExtTree)
        return tree.read("/file")


def cases() -> Iterator[object]:
    """All disks with all compressions, of which a quarter is quick enough for the unit tier."""
    for (one, disk), (two, compression) in itertools.product(
        enumerate(DISKS), enumerate(["", *TOOLS, *MANY_TIMES])
    ):
        quick = not compression or disk == "raw" or (one + two) % 4 == 0
        marks = [pytest.mark.needs("lzop")] + ([] if quick else [pytest.mark.build])
        yield pytest.param(disk, compression, marks=marks)


@pytest.mark.parametrize(("disk", "compression"), list(cases()))
def test_it_opens(disk: str, compression: str, disks: dict[str, Path], tmp_path: Path) -> None:
    image = disks[disk]
    if compression:
        image = compress(image, (TOOLS | MANY_TIMES)[compression], tmp_path / "image")
    assert content(image) == b"the content\n" * 9000


def test_compressed_too_often(disks: dict[str, Path], tmp_path: Path) -> None:
    image = compress(disks["raw"], " | ".join(["gzip"] * 6), tmp_path / "image")
    with pytest.raises(InspectError, match="image is compressed more than 4 times over"):
        open_tree(image)


@pytest.mark.parametrize("tool", ["gzip", "zstd -q", "lzop"])
def test_a_damaged_disk_is_named_as_the_user_knows_it(
    tool: str, disks: dict[str, Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(disks["qcow2"].read_bytes()[:100])
    image = compress(broken, tool, tmp_path / "image")
    with pytest.raises(InspectError, match=f"^{image} looks like a qcow2 disk") as caught:
        open_tree(image)
    assert "/proc/" not in str(caught.value)


def test_other_files_are_not_opened_by_a_compressed_disk(
    disks: dict[str, Path], tmp_path: Path
) -> None:
    over = tmp_path / "over"
    formats.shell(
        'qemu-img create -q -f qcow2 -F raw -b "$below" "$over"', below=disks["raw"], over=over
    )
    image = compress(over, "gzip", tmp_path / "image")
    with pytest.raises(InspectError, match="image is a qcow2 disk that is not whole: it refers to"):
        open_tree(image)


def test_what_a_disk_holds_is_not_another_disk(disks: dict[str, Path], tmp_path: Path) -> None:
    image = tmp_path / "image"
    formats.shell(
        'qemu-img convert -f raw -O qcow2 "$inner" "$image"', inner=disks["qcow2"], image=image
    )
    with pytest.raises(InspectError, match="is of no format that is known here"):
        open_tree(image)
