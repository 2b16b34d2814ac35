"""Root file systems other than ext4: the same tree on XFS and on btrfs, booted on a larger disk."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from kiwinb import open_tree
from kiwinb.build.appliance import Appliance
from kiwinb.settings import Settings, load_settings
from kiwinb.vm.qemu import boot

pytestmark = [pytest.mark.build, pytest.mark.boot]

DESCRIPTION = """\
<image schemaversion="8.5" name="filesystems">
  <description type="system">
    <author>A. Author</author><contact>author@example.org</contact>
    <specification>A system that boots from any file system</specification>
  </description>
  <preferences>
    <version>1.0.0</version>
    <packagemanager>apt</packagemanager>
    <type image="oem" kernelcmdline="console=ttyS0" {attributes}>
      <bootloader {loader} timeout="1"/>{initrd}
      <oemconfig><oem-resize>true</oem-resize>{oem}</oemconfig>
    </type>
  </preferences>
  <users><user name="root" groups="root" password="secret" pwdformat="plain"/></users>
  <repository type="apt-deb" alias="debian" distribution="bookworm" components="main">
    <source path="mirror:debian"/>
  </repository>
  <packages type="bootstrap"><package name="passwd"/></packages>
  <packages type="image">
    <package name="dbus"/>
    <package name="fdisk"/>
    <package name="grub-efi-amd64-bin"/>
    <package name="grub-pc-bin"/>
    <package name="grub2-common"/>
    <package name="initramfs-tools"/>
    <package name="libpam-systemd"/>
    <package name="linux-image-cloud-amd64"/>
    <package name="systemd-boot-efi"/>
    <package name="systemd-sysv"/>
    <package name="udev"/>
  </packages>
</image>
"""
LARGER = 1 << 30


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One store for all images here: their packages are installed once."""
    place = tmp_path_factory.mktemp("filesystems")
    return Settings(store=place / "store", cache=load_settings().cache)


GRUB = 'name="grub2" input_console="serial" output_console="serial"'


def build(
    directory: Path,
    store: Settings,
    attributes: str,
    oem: str = "",
    loader: str = GRUB,
    initrd: str = "",
) -> Path:
    (directory / "description").mkdir()
    text = DESCRIPTION.format(attributes=attributes, oem=oem, loader=loader, initrd=initrd)
    (directory / "description/config.xml").write_text(text)
    image = Appliance(directory / "description", settings=store).build(directory / "out").path
    argv: list[str | Path] = ["qemu-img", "info", "--output=json", image]
    facts = json.loads(subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout)
    assert facts["virtual-size"] < LARGER  # so that a larger root has grown
    subprocess.run(["qemu-img", "resize", "-q", "-f", kind(image), image, f"+{LARGER}"], check=True)
    return image


def kind(image: Path) -> str:
    return "qcow2" if image.suffix == ".qcow2" else "raw"


@pytest.mark.proves(
    "image kind",
    "oem",
    "filesystem",
    "efipartsize",
    "format",
    "kernelcmdline",
    "spare_part",
    "spare_part_fs",
    "spare_part_mountpoint",
    "oemconfig",
)
@pytest.mark.proves("file system", "xfs swap fat16")
@pytest.mark.proves("disk format", "qcow2")
@pytest.mark.proves("bootloader", "grub2")
@pytest.mark.proves("initrd tool", "initramfs-tools")
def test_xfs_boots_under_uefi_with_swap_and_more_partitions(
    store: Settings, tmp_path: Path
) -> None:
    image = build(
        tmp_path,
        store,
        'filesystem="xfs" firmware="efi" efipartsize="40" format="qcow2" spare_part="16" '
        'spare_part_fs="ext4" spare_part_mountpoint="/srv"',
        oem="<oem-swap>true</oem-swap><oem-swapsize>64</oem-swapsize>",
    )
    with boot(image, firmware="uefi", log=tmp_path / "console.log") as console:
        console.login("root", "secret")
        state = console.run("systemctl is-system-running --wait", timeout=300)
        assert (state.output, console.run("systemctl --failed --plain").status) == ("running", 0)
        assert console.run("findmnt -no FSTYPE /").output == "xfs"
        assert console.run("findmnt -no FSTYPE /srv").output == "ext4"
        assert console.run("swapon --show=SIZE --noheadings").output.strip() == "64M"
        assert "root=UUID=" in console.run("cat /proc/cmdline").output
        assert int(console.run("df --output=size -B1 / | tail -1").output) > LARGER
        assert console.run("touch /root/it-is-writable; sync").status == 0


@pytest.mark.proves("image kind", "oem", "filesystem", "firmware")
@pytest.mark.proves("file system", "btrfs")
def test_btrfs_boots_under_bios_from_an_mbr(store: Settings, tmp_path: Path) -> None:
    image = build(tmp_path, store, 'filesystem="btrfs" firmware="bios"')
    with boot(image, firmware="bios", log=tmp_path / "console.log") as console:
        console.login("root", "secret")
        state = console.run("systemctl is-system-running --wait", timeout=300)
        assert (state.output, console.run("systemctl --failed --plain").status) == ("running", 0)
        assert console.run("findmnt -no FSTYPE /").output == "btrfs"
        assert "root=UUID=" in console.run("cat /proc/cmdline").output
        assert int(console.run("df --output=size -B1 / | tail -1").output) > LARGER
        assert console.run("touch /root/it-is-writable; sync").status == 0


@pytest.mark.proves(
    "image kind",
    "oem",
    "bootpartition",
    "bootfilesystem",
    "bootpartsize",
    "rootfs_label",
    "devicepersistency",
    "efiparttable",
)
@pytest.mark.proves("file system", "ext2 ext4")
def test_ext4_boots_under_bios_from_a_boot_partition_by_label(
    store: Settings, tmp_path: Path
) -> None:
    image = build(
        tmp_path,
        store,
        'filesystem="ext4" firmware="bios" efiparttable="gpt" bootpartition="true" '
        'bootfilesystem="ext2" bootpartsize="120" rootfs_label="TOP" devicepersistency="by-label"',
    )
    with boot(image, firmware="bios", log=tmp_path / "console.log") as console:
        console.login("root", "secret")
        state = console.run("systemctl is-system-running --wait", timeout=300)
        assert (state.output, console.run("systemctl --failed --plain").status) == ("running", 0)
        assert console.run("findmnt -no FSTYPE,LABEL /").output.split() == ["ext4", "TOP"]
        assert console.run("findmnt -no FSTYPE,LABEL /boot").output.split() == ["ext2", "BOOT"]
        assert "root=LABEL=TOP" in console.run("cat /proc/cmdline").output
        assert int(console.run("df --output=size -B1 / | tail -1").output) > LARGER


@pytest.mark.proves("bootloader", "systemd_boot", "timeout")
def test_a_unified_kernel_image_boots_by_systemd_boot(store: Settings, tmp_path: Path) -> None:
    image = build(
        tmp_path,
        store,
        'filesystem="ext4" firmware="uefi"',
        loader='name="systemd_boot"',
        initrd='<initrd action="setup"><dracut uefi="true"/></initrd>',
    )
    with open_tree(image) as tree:
        paths = tree.scan()["path"].tolist()
    (unified,) = [path for path in paths if path.startswith("/boot/efi/EFI/Linux/")]
    assert re.fullmatch(r"/boot/efi/EFI/Linux/debian-6\..*-cloud-amd64\.efi", unified)
    assert "/boot/efi/EFI/BOOT/BOOTX64.EFI" in paths
    with boot(image, firmware="uefi", log=tmp_path / "console.log") as console:
        console.login("root", "secret")
        state = console.run("systemctl is-system-running --wait", timeout=300)
        assert (state.output, console.run("systemctl --failed --plain").status) == ("running", 0)
        variables = "/sys/firmware/efi/efivars"
        console.run(f"mount -t efivarfs efivarfs {variables}")
        stub = console.run(f"tr -d '\\0' <$(echo {variables}/StubInfo-*)")
        assert "systemd-stub" in stub.output
        assert "root=UUID=" in console.run("cat /proc/cmdline").output
        assert int(console.run("df --output=size -B1 / | tail -1").output) > LARGER
