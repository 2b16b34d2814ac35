"""Disks in other formats, read back by qemu-img; and copies with holes."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from descriptions import document
from odd_tree import run_action

from kiwinb.description.select import select
from kiwinb.errors import ImageError
from kiwinb.images.formats import FORMATS, plan_format
from kiwinb.images.formats.identity import settle
from kiwinb.images.formats.qemu import ConvertDisk, convert
from kiwinb.sandbox.holes import copy_data

MIB = 1 << 20


IDENTIFIERS: Mapping[str, Sequence[int]] = {
    "vdi": (0x188, 0x198),
    "vhdx": ((64 << 10) + 16, (64 << 10) + 32, (128 << 10) + 16, (128 << 10) + 32),
    "vmdk": (512 + 36,),
    "vpc": (-512 + 68,),
}
"""Where disks have identifiers that qemu-img makes at random, by what it calls the formats."""


def planned(directory: Path, attributes: str) -> ConvertDisk | None:
    preferences = (
        "<preferences><version>1.0.0</version><packagemanager>apt</packagemanager>"
        f'<type image="oem" filesystem="ext4" {attributes}/></preferences>'
    )
    image = select(document(directory, preferences=preferences))
    steps = plan_format(image, "disk", "disk.raw").steps
    if not steps:
        return None
    action = steps[0].action
    assert isinstance(action, ConvertDisk)
    return action


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """The directory of a raw disk of 40 MiB with something at both ends."""
    (tmp_path / "disk").mkdir()
    with (tmp_path / "disk/disk.raw").open("wb") as file:
        file.write(b"first" * 1000)
        file.truncate(40 * MIB)
        file.seek(-5, os.SEEK_END)
        file.write(b"last.")
    return tmp_path / "disk"


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.proves("disk format", "*")
def test_formats(tmp_path: Path, disk: Path, name: str) -> None:
    action = planned(tmp_path, f'format="{name}"')
    assert action is not None
    out = run_action(action, tmp_path, tmp_path / "out", disk=disk)
    (made,) = out.iterdir()
    assert made.suffix == f".{FORMATS[name].suffix}"
    argv: list[str | Path] = ["qemu-img", "info", "--output=json", "-f", action.driver, made]
    done = subprocess.run(argv, capture_output=True, check=True)
    facts = json.loads(done.stdout)
    assert facts["virtual-size"] >= 40 * MIB
    same: list[str | Path] = [
        "qemu-img",
        "compare",
        "-f",
        "raw",
        "-F",
        action.driver,
        disk / "disk.raw",
        made,
    ]
    subprocess.run(same, check=True, stdout=subprocess.PIPE)
    assert done.stderr == b""


CHECKED = {"qcow2": "qcow2", "vdi": "vdi", "vhdx": "vhdx", "vmdk": "vmdk"}
"""What qemu-img can check of what it calls the formats."""


@pytest.mark.parametrize(
    ("driver", "options"),
    [
        ("vdi", ""),
        ("vhdx", "subformat=dynamic"),
        ("vmdk", ""),
        ("vmdk", "subformat=streamOptimized"),
        ("vmdk", "subformat=monolithicFlat"),
        ("vpc", ""),
        ("vpc", "subformat=fixed,force_size=on"),
    ],
)
@pytest.mark.proves("disk format", "vdi vhd vhd-fixed vhdx vmdk")
def test_identifiers_follow_from_the_name_of_the_file(
    tmp_path: Path, disk: Path, driver: str, options: str
) -> None:
    made = {}
    for place in ("first", "second"):
        (tmp_path / place).mkdir()
        for name in ("a.x", "b.x"):
            file = tmp_path / place / name
            convert(disk / "disk.raw", file, driver, [options] if options else [], None)
            made[place, name] = file.read_bytes()
    assert made["first", "a.x"] == made["second", "a.x"]
    assert made["first", "b.x"] == made["second", "b.x"]
    for offset in () if "Flat" in options else IDENTIFIERS[driver]:
        a, b = (made["first", name][offset:][:16] for name in ("a.x", "b.x"))
        assert a != b and any(a)
    if driver in CHECKED and "Flat" not in options:
        argv: list[str | Path] = ["qemu-img", "check", "-f", driver, tmp_path / "first/a.x"]
        done = subprocess.run(argv, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    if driver == "vpc":
        footer = bytearray(made["first", "a.x"][-512:])
        (checksum,) = struct.unpack_from(">I", footer, 64)
        footer[64:68] = bytes(4)
        assert checksum == 0xFFFFFFFF - sum(footer)


def test_a_short_content_identifier_of_vmdk(tmp_path: Path, disk: Path) -> None:
    """qemu-img does not pad it; a shorter text leaves the end of the longer one behind."""
    made = []
    for place, number in (("first", b"0123abcd"), ("second", b"29cb1e")):
        (tmp_path / place).mkdir()
        file = tmp_path / place / "a.x"
        argv: list[str | Path] = [
            "qemu-img",
            "convert",
            "-f",
            "raw",
            "-O",
            "vmdk",
            disk / "disk.raw",
            file,
        ]
        subprocess.run(argv, check=True)
        data = file.read_bytes()
        sectors = struct.unpack_from("<QQ", data, 28)
        start, end = sectors[0] * 512, sum(sectors) * 512
        text = re.sub(rb"(?m)^CID=.*$", b"CID=" + number, data[start:end].partition(b"\0")[0])
        stale = b"\0\n" if len(number) == 6 else b""
        file.write_bytes(data[:start] + (text + stale).ljust(end - start, b"\0") + data[end:])
        settle(file, "vmdk")
        made.append(file.read_bytes())
    assert made[0] == made[1]


@pytest.mark.parametrize("driver", IDENTIFIERS)
def test_what_is_no_disk_of_the_format(tmp_path: Path, driver: str) -> None:
    (tmp_path / "disk").write_bytes(bytes(1 << 20))
    with pytest.raises(ImageError, match="disk: qemu-img made a disk whose headers are not"):
        settle(tmp_path / "disk", driver)
    settle(tmp_path / "disk", "qcow2")
    assert not any((tmp_path / "disk").read_bytes())


@pytest.mark.proves("disk format", "vmdk", "formatoptions")
@pytest.mark.proves("image kind", "oem", "format", "formatoptions")
def test_options_of_a_format(tmp_path: Path, disk: Path) -> None:
    options = 'format="vmdk" formatoptions="subformat=streamOptimized"'
    action = planned(tmp_path, options)
    assert action is not None
    assert action.options == ("subformat=streamOptimized",)
    out = run_action(action, tmp_path, tmp_path / "out", disk=disk)
    (made,) = out.iterdir()
    assert b'createType="streamOptimized"' in made.read_bytes()[: 64 << 10]


def test_what_is_no_format(tmp_path: Path) -> None:
    assert planned(tmp_path, "") is None
    with pytest.raises(ImageError, match="does not support the disk format ova"):
        planned(tmp_path, 'format="ova"')


@pytest.mark.parametrize("target", ["here", "/dev/shm"])
def test_holes_stay_holes(tmp_path: Path, target: str) -> None:
    """Also between file systems, where the kernel cannot copy by itself."""
    source = tmp_path / "source"
    with source.open("wb") as file:
        for at in (0, 20 * MIB, 33 * MIB + 4096):
            file.seek(at)
            file.write(b"%d" % at * 1000)
        file.truncate(64 * MIB)
    place = tmp_path if target == "here" else Path(target)
    copy = place / f"kiwinb-copy-{os.getpid()}"
    try:
        with source.open("rb") as reader, copy.open("wb") as file:
            file.truncate(65 * MIB)
            copy_data(reader.fileno(), file.fileno(), MIB)
        data = copy.read_bytes()
        assert data[:MIB] == bytes(MIB)
        assert data[MIB:] == source.read_bytes()
        assert copy.stat().st_blocks * 512 < MIB
    finally:
        copy.unlink()
