"""The layout of oem disks: pure, and put together for real with sfdisk."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest
from descriptions import document
from odd_tree import run_action

from kiwinb.bootloader.grub2.config import early_config
from kiwinb.description.model import ImageDescription
from kiwinb.description.select import select
from kiwinb.description.sources import Sources
from kiwinb.errors import ImageError, KiwinbError
from kiwinb.images.inputs import BuildInputs
from kiwinb.images.oem import OemKind, boot_place
from kiwinb.storage.assemble import AssembleDisk
from kiwinb.storage.disk import DiskLayout
from kiwinb.storage.fill import image_file
from kiwinb.storage.firmware import uses_bios, uses_efi
from kiwinb.storage.fstab import device_name, fstab
from kiwinb.storage.layout import lay_out

MIB = 1 << 20


def image(
    directory: Path, attributes: str, inside: str = "", arch: str = "x86_64"
) -> ImageDescription:
    if not re.search(r"\bfilesystem=", attributes):
        attributes += ' filesystem="ext4"'
    preferences = (
        "<preferences><version>1.0.0</version><packagemanager>apt</packagemanager>"
        f'<type image="oem" {attributes}>{inside}</type></preferences>'
    )
    return select(document(directory, preferences=preferences), arch=arch)


def shown(layout: DiskLayout) -> list[str]:
    """Partitions as ``number key kind size``, the size in MiB or ``*``."""
    return [
        f"{p.number} {p.key} {p.filesystem.kind.name if p.filesystem else '-'} "
        f"{'*' if p.size is None else p.size // MIB}"
        for p in layout.partitions
    ]


@pytest.mark.parametrize(
    ("attributes", "inside", "table", "partitions"),
    [
        pytest.param('firmware="bios"', "", "msdos", ["1 root ext4 *"], id="bios"),
        pytest.param("", "", "msdos", ["1 root ext4 *"], id="nothing-said"),
        pytest.param(
            'firmware="bios" efiparttable="gpt"',
            "",
            "gpt",
            ["1 bios - 2", "2 root ext4 *"],
            id="bios-gpt",
        ),
        pytest.param(
            'firmware="efi"',
            "",
            "gpt",
            ["1 bios - 2", "2 efi fat16 20", "3 root ext4 *"],
            id="bios-and-efi",
        ),
        pytest.param(
            'firmware="uefi" eficsm="false" efipartsize="300" filesystem="xfs"',
            "",
            "gpt",
            ["1 efi fat32 300", "2 root xfs *"],
            id="efi-alone",
        ),
        pytest.param(
            'firmware="efi" efiparttable="msdos" filesystem="btrfs"',
            "",
            "msdos",
            ["1 efi fat16 20", "2 root btrfs *"],
            id="efi-mbr",
        ),
        pytest.param(
            'firmware="efi" bootpartition="true" bootpartsize="200" bootfilesystem="ext2" '
            'filesystem="xfs"',
            "<oemconfig><oem-swap>true</oem-swap><oem-swapsize>64</oem-swapsize></oemconfig>",
            "gpt",
            ["1 bios - 2", "2 efi fat16 20", "3 boot ext2 200", "4 swap swap 64", "5 root xfs *"],
            id="boot-and-swap",
        ),
        pytest.param(
            'firmware="bios" efiparttable="gpt" bootpartition="true" rootpart_id="7"',
            "",
            "gpt",
            ["1 bios - 2", "2 boot ext4 300", "7 root ext4 *"],
            id="numbers",
        ),
        pytest.param(
            'firmware="bios" spare_part="50M" spare_part_fs="xfs" spare_part_mountpoint="/srv"',
            '<partitions><partition name="var" size="100" mountpoint="/var" filesystem="btrfs"/>'
            '<partition name="raw" size="1G"/></partitions>',
            "msdos",
            ["1 var btrfs 100", "2 raw - 1024", "3 spare xfs 50", "4 root ext4 *"],
            id="spare-and-more",
        ),
        pytest.param(
            'firmware="bios" spare_part="50" spare_part_is_last="true"',
            "<oemconfig><oem-resize>false</oem-resize></oemconfig>",
            "msdos",
            ["1 root ext4 *", "2 spare - 50"],
            id="spare-last",
        ),
        pytest.param(
            'firmware="bios" dosparttable_extended_layout="true" bootpartition="true"',
            "<oemconfig><oem-swap>true</oem-swap></oemconfig>"
            '<partitions><partition name="a" size="8" filesystem="ext4" mountpoint="/a"/>'
            '<partition name="b" size="8" filesystem="ext4" mountpoint="/b"/></partitions>',
            "msdos",
            ["1 boot ext4 300", "2 swap swap 1024", "3 a ext4 8", "5 b ext4 8", "6 root ext4 *"],
            id="extended",
        ),
        pytest.param(
            'firmware="bios" root_clone="1"',
            "<oemconfig><oem-systemsize>500</oem-systemsize><oem-resize>false</oem-resize>"
            "</oemconfig>",
            "msdos",
            ["1 rootclone1 ext4 500", "2 root ext4 500"],
            id="clone",
        ),
        pytest.param(
            'firmware="efi" target_blocksize="4096"',
            "",
            "gpt",
            ["1 efi fat32 20", "2 root ext4 *"],
            id="large-sectors",
        ),
    ],
)
@pytest.mark.proves(
    "image kind",
    "oem",
    "bootfilesystem",
    "bootpartition",
    "bootpartsize",
    "dosparttable_extended_layout",
    "eficsm",
    "efipartsize",
    "efiparttable",
    "filesystem",
    "firmware",
    "partitions",
    "root_clone",
    "rootpart_id",
    "spare_part",
    "spare_part_fs",
    "spare_part_is_last",
    "spare_part_mountpoint",
    "target_blocksize",
)
def test_layouts(
    tmp_path: Path, attributes: str, inside: str, table: str, partitions: list[str]
) -> None:
    layout = lay_out(image(tmp_path, attributes, inside))
    assert (layout.table, shown(layout)) == (table, partitions)
    assert len({partition.uuid for partition in layout.partitions}) == len(partitions)


@pytest.mark.parametrize(
    ("attributes", "inside", "problem"),
    [
        (
            'firmware="bios" bootpartition="true" spare_part="10"',
            "<oemconfig><oem-swap>true</oem-swap></oemconfig>"
            '<partitions><partition name="a" size="8"/></partitions>',
            "an MBR has 4 primary partitions, and this disk has 5",
        ),
        ('target_blocksize="1024"', "", "sectors of 512 or 4096"),
        ('root_clone="1"', "", "clone of the root partition needs"),
        (
            "",
            '<partitions><partition name="a" size="8" mountpoint="/a"/></partitions>',
            "has a mountpoint but no filesystem",
        ),
        ('bootpartition="true" bootpart_id="2" rootpart_id="2"', "", "number 2 is given twice"),
        ('format="ova"', "", "the disk format ova"),
        ('filesystem="squashfs"', "", "the partition root needs a writable file system"),
    ],
)
def test_what_cannot_be(tmp_path: Path, attributes: str, inside: str, problem: str) -> None:
    with pytest.raises(ImageError, match=problem):
        OemKind().plan(image(tmp_path, attributes, inside), BuildInputs(Sources(), 0), "tree")


@pytest.mark.proves("image kind", "oem", "firmware")
def test_firmware(tmp_path: Path) -> None:
    for attributes, arch, bios, efi in (
        ('firmware="efi"', "x86_64", True, True),
        ('firmware="uefi" eficsm="false"', "x86_64", False, True),
        ('firmware="bios"', "x86_64", True, False),
        ("", "aarch64", False, True),
    ):
        described = image(tmp_path, attributes, arch=arch)
        assert (uses_bios(described), uses_efi(described)) == (bios, efi)


@pytest.mark.parametrize(
    ("size", "total", "extra", "unpartitioned"),
    [
        ('<size unit="G">2</size>', 2048, 0, 0),
        ('<size unit="M" additive="true">300</size>', None, 300, 0),
        ('<size unit="M" unpartitioned="100">800</size>', 800, 0, 100),
        ('<size unit="M" additive="true" unpartitioned="100">800</size>', None, 700, 100),
    ],
)
@pytest.mark.proves("image kind", "oem", "size")
def test_sizes(
    tmp_path: Path, size: str, total: int | None, extra: int, unpartitioned: int
) -> None:
    layout = lay_out(image(tmp_path, 'firmware="efi"', size))
    assert layout.size.total == (total and total * MIB)
    assert (layout.size.extra, layout.size.unpartitioned) == (extra * MIB, unpartitioned * MIB)
    if total is not None:
        # One MiB before the partitions and, for the second table, one after them.
        assert layout.root_size() == (total - 1 - 2 - 20 - 1 - unpartitioned) * MIB


@pytest.mark.parametrize(
    ("persistency", "names"),
    [
        (None, ("UUID=", "UUID=")),
        ("by-uuid", ("UUID=", "UUID=")),
        ("by-label", ("LABEL=TOP", "LABEL=BOOT")),
        ("by-partuuid", ("PARTUUID=", "PARTUUID=")),
    ],
)
@pytest.mark.proves("image kind", "oem", "devicepersistency", "fsmountoptions", "rootfs_label")
def test_names_of_devices(tmp_path: Path, persistency: str | None, names: tuple[str, str]) -> None:
    layout = lay_out(
        image(
            tmp_path,
            'filesystem="xfs" bootpartition="true" rootfs_label="TOP" fsmountoptions="noatime"',
        )
    )
    found = [
        device_name(layout, partition, persistency) for partition in (layout.root, layout.boot)
    ]
    assert [name.startswith(start) for name, start in zip(found, names, strict=True)] == [True] * 2
    text = fstab(
        layout, persistency, "proc /proc proc defaults 0 0\n/dev/sda1 / ext3 defaults 0 1\n"
    )
    assert text.splitlines() == [
        f"{found[0]} / xfs noatime 0 0",
        f"{found[1]} /boot xfs defaults 0 0",
        "proc /proc proc defaults 0 0",
    ]
    if persistency == "by-partuuid":
        assert found == [f"PARTUUID={layout.signature}-02", f"PARTUUID={layout.signature}-01"]


@pytest.mark.parametrize(
    ("attributes", "modules"),
    [
        ('filesystem="xfs" firmware="efi"', ("part_gpt", "xfs")),
        ('filesystem="btrfs" firmware="bios"', ("part_msdos", "btrfs")),
        ('filesystem="ext3" firmware="bios" efiparttable="gpt"', ("part_gpt", "ext2")),
        ('filesystem="btrfs" bootpartition="true" bootfilesystem="xfs"', ("part_msdos", "xfs")),
    ],
)
def test_grub_reads_what_has_boot(
    tmp_path: Path, attributes: str, modules: tuple[str, str]
) -> None:
    layout = lay_out(image(tmp_path, attributes))
    assert boot_place(layout).modules == modules
    assert layout.boot.filesystem is not None
    text = early_config(boot_place(layout), "/boot/grub")
    assert f"search.fs_uuid {layout.boot.filesystem.uuid} root" in text
    assert ("=($root)/grub" in text) == (layout.boot.role == "boot")


def read_table(disk: Path, sector: int) -> dict[str, Any]:
    """What sfdisk reads of a disk; it knows files with sectors of 512 bytes only."""
    if sector == 512:
        argv: list[str | Path] = ["sfdisk", "--json", disk]
        done = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
        found: dict[str, Any] = json.loads(done.stdout)["partitiontable"]
        return found
    data = disk.read_bytes()
    assert data[sector : sector + 8] == b"EFI PART"
    first, count, size = struct.unpack_from("<QII", data, sector + 72)
    partitions = []
    for number in range(count):
        kind, own, start, end, _, name = struct.unpack_from(
            "<16s16sQQQ72s", data, first * sector + number * size
        )
        if any(kind):
            partitions.append(
                {
                    "node": f"{disk}{number + 1}",
                    "start": start,
                    "size": end - start + 1,
                    "type": str(uuid.UUID(bytes_le=kind)),
                    "uuid": str(uuid.UUID(bytes_le=own)),
                    "name": name.decode("utf-16-le").rstrip("\0"),
                }
            )
    return {"label": "gpt", "partitions": partitions}


def put_together(directory: Path, layout: DiskLayout) -> Path:
    """A disk whose partitions say which they are."""
    inputs = {}
    for partition in layout.partitions:
        if (node := partition.content) is not None:
            place = directory / node.step
            place.mkdir()
            with (place / image_file(node.key)).open("wb") as file:
                file.truncate(partition.size or 30 * MIB)
                file.write(partition.key.encode())
                file.seek(-512, os.SEEK_END)
                file.write(b"end of " + partition.key.encode())
            inputs[node.step.replace("-", "_")] = place
    out = directory / "out"
    run_action(AssembleDisk(layout, "disk.raw"), directory, out, **inputs)
    return out / "disk.raw"


@pytest.mark.parametrize(
    ("attributes", "inside"),
    [
        ('firmware="efi" bootpartition="true"', ""),
        ('firmware="bios"', '<size unit="M" unpartitioned="40">200</size>'),
        ('firmware="efi" target_blocksize="4096"', ""),
        ('firmware="bios" disk_start_sector="4096"', ""),
        (
            'firmware="bios" dosparttable_extended_layout="true" bootpartition="true"',
            "<oemconfig><oem-swap>true</oem-swap><oem-swapsize>8</oem-swapsize></oemconfig>"
            '<partitions><partition name="a" size="8" filesystem="ext4" mountpoint="/a"/>'
            '<partition name="b" size="8"/></partitions>',
        ),
    ],
)
@pytest.mark.proves(
    "image kind",
    "oem",
    "bootpartition",
    "disk_start_sector",
    "dosparttable_extended_layout",
    "oemconfig",
    "partitions",
    "size",
    "target_blocksize",
)
def test_the_disk_has_the_layout(tmp_path: Path, attributes: str, inside: str) -> None:
    layout = lay_out(image(tmp_path, attributes, inside))
    disk = put_together(tmp_path, layout)
    assert disk.stat().st_blocks * 512 < 8 * MIB
    table = read_table(disk, layout.sector_size)
    assert table["label"] == {"gpt": "gpt", "msdos": "dos"}[layout.table]
    by_number = {int(p["node"].removeprefix(str(disk))): p for p in table["partitions"]}
    for partition in layout.partitions:
        entry = by_number[partition.number]
        assert entry["type"].lower() == partition.type.lower()
        if layout.table == "gpt":
            assert (entry["uuid"].lower(), entry["name"]) == (partition.uuid, partition.name)
        if partition.filesystem is not None:
            with disk.open("rb") as file:
                file.seek(entry["start"] * layout.sector_size)
                assert file.read(len(partition.key)) == partition.key.encode()
                file.seek((entry["start"] + entry["size"]) * layout.sector_size - 512)
                assert file.read(7 + len(partition.key)) == b"end of " + partition.key.encode()
    if layout.size.total is not None:
        assert disk.stat().st_size == layout.size.total


def test_a_disk_that_is_too_small(tmp_path: Path) -> None:
    layout = lay_out(image(tmp_path, 'firmware="bios"', '<size unit="M">20</size>'))
    with pytest.raises(ImageError, match="the disk needs 31 MiB, but its size is 20 MiB"):
        put_together(tmp_path, layout)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_the_plan(tmp_path: Path, kind: str) -> None:
    described = image(
        tmp_path,
        f'filesystem="{kind}" firmware="efi" format="vmdk" kernelcmdline="quiet"',
        '<bootloader name="grub2"/>',
    )
    plan = OemKind().plan(described, BuildInputs(Sources(), 0), "tree")
    assert [step.name for step in plan.steps] == [
        *("boot-config", "filesystem-root", "bootloader", "filesystem-efi", "disk", "format"),
    ]
    assert [result.filename for result in plan.results] == [
        "test.x86_64-1.0.0.raw",
        "test.x86_64-1.0.0.vmdk",
    ]


def test_an_unknown_bootloader(tmp_path: Path) -> None:
    described = image(tmp_path, "", '<bootloader name="zipl"/>')
    with pytest.raises(KiwinbError, match="kiwinb does not support the bootloader zipl"):
        OemKind().plan(described, BuildInputs(Sources(), 0), "tree")


def test_a_swap_partition_does_not_get_the_name_of_a_logical_volume(tmp_path: Path) -> None:
    oem = "<oemconfig><oem-swap>true</oem-swap><oem-swapname>LVSwap</oem-swapname></oemconfig>"
    layout = lay_out(image(tmp_path, 'firmware="bios"', oem))
    swap = next(p.filesystem for p in layout.partitions if p.key == "swap")
    assert swap is not None and swap.label == "SWAP"
