"""A disk is one tree, put together by its fstab; each of its bytes is accounted for."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import formats
import pytest

from kiwinb.errors import InspectError
from kiwinb.inspect.formats import open_tree
from kiwinb.inspect.formats.disk import DiskTree

ROOT = "11111111-1111-1111-1111-111111111111"
SWAP = "22222222-2222-2222-2222-222222222222"
FSTAB = f"""# comment
UUID={ROOT} / ext4 defaults 0 1
UUID=ABCD-1234 /boot/efi vfat umask=0077 0 0
LABEL=HOME /home ext2 defaults 0 0
UUID={SWAP} none swap sw 0 0
/dev/sr0 /media/cdrom iso9660 ro 0 0
"""
TABLES = {
    "gpt": "label: gpt\nsize=1M,type=21686148-6449-6E6F-744E-656564454649\n"
    "size=6M,type=uefi,name=EFI\nsize=16M,type=linux,name=root\nsize=2M,type=swap\n"
    "size=8M,type=linux\n",
    "dos": "label: dos\nsize=1M,type=41\nsize=6M,type=ef\nsize=16M,type=83\nsize=20M,type=5\n"
    "size=2M,type=82\nsize=8M,type=83\n",
}


def make_disk(top: Path, kind: str, fstab: str = FSTAB, *, linked: bool = False) -> Path:
    root, home = top / "root", top / "home"
    for folder in ("etc", "boot/efi", "var/home" if linked else "home/hidden"):
        (root / folder).mkdir(parents=True)
    (root / "etc" / "fstab").write_text(fstab)
    if linked:
        (root / "etc").rename(root / "config")
        (root / "etc").symlink_to("/config")
        (root / "home").symlink_to("../../var/home")
    home.mkdir()
    (home / "user").write_bytes(b"mine" * 2000)
    (top / "grub.cfg").write_text("set x")
    disk = top / "disk"
    subprocess.run(["truncate", "-s", "48M", disk], check=True)
    subprocess.run(["sfdisk", "-q", disk], input=TABLES[kind], text=True, check=True)
    listing = subprocess.run(["sfdisk", "--json", disk], capture_output=True, check=True).stdout
    places = [p for p in json.loads(listing)["partitiontable"]["partitions"] if p["type"] != "5"]
    made = (
        'mkfs.vfat -i ABCD1234 -n ESP "$part"; mmd -i "$part" ::EFI; '
        'mcopy -i "$part" "$top/grub.cfg" ::EFI',
        f'mke2fs -q -t ext4 -U {ROOT} -d "$top/root" "$part"',
        f'mkswap -q -U {SWAP} "$part"',
        'mke2fs -q -t ext2 -L HOME -d "$top/home" "$part"',
    )
    for place, command in zip(places[1:], made, strict=True):
        part = top / "part"
        part.write_bytes(b"")
        formats.shell(
            f'truncate -s $size "$part"; {command}; '
            'dd if="$part" of="$disk" bs=512 seek=$start conv=notrunc',
            size=place["size"] * 512,
            start=place["start"],
            part=part,
            disk=disk,
            top=top,
        )
        part.unlink()
    return disk


@pytest.mark.parametrize("kind", TABLES)
def test_one_tree_by_fstab(kind: str, tmp_path: Path) -> None:
    disk = make_disk(tmp_path, kind)
    with open_tree(disk) as tree:
        assert isinstance(tree, DiskTree)
        table = tree.scan()
        paths = table["path"].tolist()
        assert paths == sorted(paths) and len(set(paths)) == len(paths)
        assert {"/etc/fstab", "/boot/efi/EFI/grub.cfg", "/home/user"} <= set(paths)
        assert "/home/hidden" not in paths
        files = table[table["type"] == "file"]
        assert files["inode"].is_unique
        assert tree.read("/home/user", 4) == b"mine"
        assert (
            tree.read_many(["/boot/efi/EFI/grub.cfg", "/etc/fstab"])["/etc/fstab"] == FSTAB.encode()
        )
        assert not tree.exists("/home/hidden") and tree.exists("/boot/efi/EFI")
        parts = tree.parts()
    assert parts["size"].sum() == disk.stat().st_size
    assert (parts["start"].to_numpy()[1:] == (parts["start"] + parts["size"]).to_numpy()[:-1]).all()
    assert (parts["used"] + parts["free"] == parts["size"]).all()
    assert (parts["files"] <= parts["used"]).all()
    by_point = parts.set_index("mountpoint")
    assert by_point.loc["/", "uuid"] == ROOT
    assert by_point.loc["/", "filesystem"] == "ext4"
    assert by_point.loc["/boot/efi", "role"] == "esp"
    assert by_point.loc["/home", "label"] == "HOME"
    assert by_point.loc["swap", "uuid"] == SWAP
    assert "partition table" in set(parts["role"]) and "unpartitioned" in set(parts["role"])


def test_fstab_and_mount_points_behind_links(tmp_path: Path) -> None:
    with open_tree(make_disk(tmp_path, "gpt", linked=True)) as tree:
        table = tree.scan().set_index("path")
        assert {"/config/fstab", "/boot/efi/EFI/grub.cfg", "/var/home/user"} <= set(table.index)
        assert table["type"]["/home"] == "symlink"
        assert tree.found(["/home/user"]) == {"/home/user": "/var/home/user"}
        assert tree.read("/var/home/user", 4) == b"mine"


@pytest.mark.parametrize("format", ["qcow2", "vmdk", "vhdx", "raw.zst"])
def test_disks_of_virtual_machines(format: str, tmp_path: Path) -> None:
    disk = make_disk(tmp_path, "gpt")
    other = tmp_path / f"disk.{format}"
    if format.startswith("raw."):
        tool = {"raw.gz": "gzip", "raw.zst": "zstd -q"}[format]
        formats.shell(f'{tool} < "$disk" > "$other"', disk=disk, other=other)
    else:
        subprocess.run(["qemu-img", "convert", "-O", format, disk, other], check=True)
    with open_tree(disk) as one, open_tree(other) as two:
        assert formats.differences(one, two) == []


def test_without_fstab_each_file_system_has_a_directory(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, "gpt")
    with open_tree(disk) as tree:
        assert isinstance(tree, DiskTree)
        start = int(tree.parts().set_index("mountpoint")["start"].loc["/"])
    with disk.open("r+b") as file:  # its root is gone
        file.seek(start)
        file.write(bytes(4096))
    with open_tree(disk) as tree:
        paths = set(tree.scan()["path"])
    assert {"/", "/partition-2/EFI/grub.cfg", "/partition-5/user"} <= paths


def test_the_second_copy_of_a_gpt(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, "gpt")
    with disk.open("r+b") as file:
        file.seek(512 + 20)
        file.write(b"\xff" * 30)
    with open_tree(disk) as tree:
        assert tree.exists("/home/user")


def test_other_files_are_not_opened_by_a_disk(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"s" * 65536)
    words: list[str | Path] = [
        "qemu-img",
        "create",
        "-q",
        "-f",
        "qcow2",
        "-b",
        tmp_path / "secret",
        "-F",
        "raw",
    ]
    subprocess.run([*words, tmp_path / "disk.qcow2"], check=True)
    with pytest.raises(InspectError, match="not whole"):
        open_tree(tmp_path / "disk.qcow2")


def test_an_encrypted_partition_is_named(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    subprocess.run(["truncate", "-s", "8M", disk], check=True)
    subprocess.run(["sfdisk", "-q", disk], input="label: gpt\n,\n", text=True, check=True)
    with disk.open("r+b") as file:
        file.seek(1 << 20)
        file.write(b"LUKS\xba\xbe\0\2")
    with open_tree(disk) as tree, pytest.raises(InspectError, match="cryptsetup"):
        tree.scan()
