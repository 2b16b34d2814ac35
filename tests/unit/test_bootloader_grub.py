"""GRUB's texts, and its boot code in a disk. Whether they boot, ``tests/boot`` tells."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from descriptions import document

from kiwinb.bootloader.grub2.bios import master_boot_record, patches, placed_core
from kiwinb.bootloader.grub2.config import (
    defaults,
    environment_block,
    menu,
    terminal_commands,
)
from kiwinb.bootloader.grub2.loader import Grub2
from kiwinb.bootloader.kernel import Kernel, find_kernel
from kiwinb.bootloader.target import BootTarget, CoreRoom
from kiwinb.description.model import Bootloader, ConfigOption
from kiwinb.description.select import select
from kiwinb.errors import ImageError
from kiwinb.images.oem import boot_place
from kiwinb.steps.step import HostPaths, StepContext
from kiwinb.storage.layout import lay_out
from kiwinb.storage.patches import apply_patches

LIBRARY = Path("/usr/lib/grub/i386-pc")
KERNEL = Kernel("6.1.0-1", "vmlinuz-6.1.0-1", "initrd.img-6.1.0-1")


def setup(directory: Path, attributes: str, bootloader: str = "") -> BootTarget:
    preferences = (
        "<preferences><version>1.0.0</version><packagemanager>apt</packagemanager>"
        f'<type image="oem" {attributes}><bootloader name="grub2" {bootloader}/></type>'
        "</preferences>"
    )
    image = select(document(directory, preferences=preferences), arch="x86_64")
    assert image.type.bootloader is not None
    return BootTarget(
        medium="disk",
        settings=image.type.bootloader,
        title="It's mine",
        kernel_options="root=UUID=1 ro quiet",
        arch="x86_64",
        efi=False,
        secure=False,
        initrd=True,
        unified=False,
        epoch=0,
        boot=boot_place(lay_out(image)),
    )


@pytest.mark.parametrize(
    ("settings", "commands"),
    [
        (Bootloader(), ["terminal_output console", "terminal_input console"]),
        (
            Bootloader(input_console="serial", output_console="serial"),
            [
                "serial --unit=0 --speed=115200 --word=8 --parity=no --stop=1",
                "terminal_output serial",
                "terminal_input serial",
            ],
        ),
        (
            Bootloader(
                input_console="console serial",
                output_console="gfxterm serial",
                serial_line="--unit=1 --speed=9600",
                video_mode="1024x768",
            ),
            [
                "serial --unit=1 --speed=9600",
                "set gfxmode=1024x768",
                "insmod all_video",
                "insmod gfxterm",
                "loadfont $prefix/fonts/unicode.pf2",
                "terminal_output gfxterm serial",
                "terminal_input console serial",
            ],
        ),
        (Bootloader(input_console="none", output_console="none"), []),
    ],
)
@pytest.mark.proves(
    "bootloader", "grub2", "input_console", "output_console", "serial_line", "video_mode"
)
def test_consoles(settings: Bootloader, commands: list[str]) -> None:
    assert terminal_commands(settings) == commands


@pytest.mark.parametrize(
    ("attributes", "lines"),
    [
        (
            'filesystem="xfs" firmware="efi" bootpartition="true"',
            ["insmod part_gpt", "insmod xfs", "  linux /vmlinuz-6.1.0-1 root=UUID=1 ro quiet"],
        ),
        (
            'filesystem="btrfs" firmware="bios"',
            ["insmod part_msdos", "insmod btrfs", "  initrd /boot/initrd.img-6.1.0-1"],
        ),
    ],
)
@pytest.mark.proves("bootloader", "grub2", "timeout", "timeout_style")
def test_the_menu(tmp_path: Path, attributes: str, lines: list[str]) -> None:
    given = setup(tmp_path, attributes, 'timeout="3" timeout_style="hidden"')
    text = menu(given, KERNEL)
    (tmp_path / "grub.cfg").write_text(text)
    subprocess.run(["grub-script-check", tmp_path / "grub.cfg"], check=True)
    assert {*lines, "set timeout=3", "set timeout_style=hidden"} <= set(text.splitlines())
    assert text.count(f"search --no-floppy --fs-uuid --set=root {given.boot.uuid}")


def test_defaults_keep_what_else_is_there(tmp_path: Path) -> None:
    given = setup(tmp_path, 'filesystem="ext4"', 'input_console="serial" output_console="serial"')
    text = defaults(given, 'GRUB_TIMEOUT=99\n# a remark\nGRUB_DISABLE_OS_PROBER="true"\n')
    (tmp_path / "grub").write_text(text)
    names = ("TIMEOUT", "DISTRIBUTOR", "CMDLINE_LINUX", "TERMINAL_INPUT", "DISABLE_OS_PROBER")
    shown = "; ".join(f'echo "$GRUB_{name}"' for name in names)
    done = subprocess.run(
        ["sh", "-c", f". {tmp_path}/grub; {shown}"], stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout.splitlines() == ["10", "It's mine", "quiet", "serial", "true"]
    assert text.startswith('GRUB_TIMEOUT="10"\n# a remark\n')


@pytest.mark.proves("bootloader", "grub2", "bootloadersettings")
def test_the_environment_block(tmp_path: Path) -> None:
    place = tmp_path / "grubenv"
    place.write_bytes(environment_block((ConfigOption("saved", "one"), ConfigOption("none"))))
    argv: list[str | Path] = ["grub-editenv", place, "list"]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "saved=one\nnone=\n"


def test_boot_code_leaves_the_partition_table(tmp_path: Path) -> None:
    core = tmp_path / "core.img"
    modules = ("biosdisk", "part_msdos", "btrfs", "search_fs_uuid")
    subprocess.run(
        ["grub-mkimage", "-O", "i386-pc", "-p", "/boot/grub", "-o", core, *modules], check=True
    )
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(2 << 20))
    subprocess.run(["sfdisk", "-q", disk], input=b"start=2048, bootable\n", check=True)
    before = disk.read_bytes()
    boot = (LIBRARY / "boot.img").read_bytes()
    with disk.open("r+b") as file:
        made = patches(boot=boot, core=core.read_bytes(), room=CoreRoom(1, 2047))
        apply_patches(file, made)
    after = disk.read_bytes()
    assert after[0x1B8:0x200] == before[0x1B8:0x200]
    assert after[:0x03] == boot[:0x03]
    assert struct.unpack_from("<Q", after, 0x5C) == (1,)
    sectors = -(-core.stat().st_size // 512)
    assert struct.unpack_from("<QH", after, 1024 - 12) == (2, sectors - 1)
    assert after[1024 : 512 + core.stat().st_size] == core.read_bytes()[512:]
    assert not any(after[512 * (1 + sectors) :])


def test_boot_code_that_does_not_fit() -> None:
    boot = bytearray(510) + b"\x55\xaa"
    core = bytearray(1024)
    struct.pack_into("<QHH", core, 500, 0, 0, 0x820)
    with pytest.raises(ImageError, match="core has 2 sectors, but there is room for only 1"):
        patches(boot=bytes(boot), core=bytes(core), room=CoreRoom(1, 1))
    with pytest.raises(ImageError, match="not a boot sector"):
        master_boot_record(bytes(512), bytes(512), 1)
    with pytest.raises(ImageError, match="does not start with a block list"):
        placed_core(bytes(2048), 1)


def test_the_newest_kernel(tmp_path: Path) -> None:
    boot = tmp_path / "boot"
    boot.mkdir()
    with pytest.raises(ImageError, match="does not say which distribution"):
        find_kernel(tmp_path, initrd=True)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("ID=debian\n")
    with pytest.raises(ImageError, match="no kernel in /boot"):
        find_kernel(tmp_path, initrd=True)
    for version in ("6.9.3-amd64", "6.10.1-amd64"):
        (boot / f"vmlinuz-{version}").touch()
    with pytest.raises(ImageError, match=r"no initrd for the kernel 6\.10\.1-amd64"):
        find_kernel(tmp_path, initrd=True)
    (boot / "initrd.img-6.10.1-amd64").touch()
    assert find_kernel(tmp_path, initrd=True) == Kernel(
        "6.10.1-amd64", "vmlinuz-6.10.1-amd64", "initrd.img-6.10.1-amd64"
    )


@pytest.mark.parametrize(
    ("id", "initrd", "library", "directory", "package"),
    [
        ("debian", "initrd.img-6.1", "grub", "boot/grub", "grub-pc-bin"),
        ("fedora", "initramfs-6.1.img", "grub", "boot/grub2", "grub2-pc-modules"),
        ("opensuse-leap", "initrd-6.1", "grub2", "boot/grub2", "grub2-i386-pc"),
        ("arch", "initramfs-6.1.img", "grub", "boot/grub", "grub"),
    ],
)
@pytest.mark.proves("distribution", "debian redhat suse archlinux")
@pytest.mark.proves("bootloader", "grub2")
def test_files_are_where_the_distribution_has_them(
    id: str, initrd: str, library: str, directory: str, package: str, tmp_path: Path
) -> None:
    root, font = tmp_path / "root", f"usr/share/{library}/unicode.pf2"
    files = {"etc/os-release": f"ID={id}\n", "boot/vmlinuz-6.1": "", f"boot/{initrd}": ""}
    for name, text in {**files, font: "font"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    context = StepContext(
        root, None, {}, HostPaths(tmp_path), lambda line: None, lambda done: None, rootless=False
    )
    target = setup(tmp_path, 'filesystem="ext4"')
    Grub2().configure(context, target)
    assert f"  initrd /boot/{initrd}\n" in (root / directory / "grub.cfg").read_text()
    assert (root / directory / "fonts/unicode.pf2").read_text() == "font"
    with pytest.raises(ImageError, match="neither the root tree nor this host") as told:
        Grub2().configure(context, replace(target, core=CoreRoom(1, 2047)))
    assert f"add {package} to <packages>, or install grub-pc-bin on this host" in str(told.value)
