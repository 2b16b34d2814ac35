"""Disks of the small distributions that are made for tests: one of each family, to its login."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from small_build import SYSTEMS, settings

from kiwinb.build.appliance import Appliance
from kiwinb.vm.qemu import Firmware, boot

pytestmark = [pytest.mark.build, pytest.mark.boot]

DESCRIPTION = """\
<image schemaversion="8.5" name="family">
  <description type="system"><author>A</author><contact>a@example.org</contact>
    <specification>A disk of another family than Debian's</specification></description>
  <preferences><version>1.0.0</version><packagemanager>{manager}</packagemanager>
    <type image="oem" filesystem="ext4" kernelcmdline="console=ttyS0" {attributes}>
      <bootloader name="grub2" timeout="1" input_console="serial" output_console="serial"/>
      <oemconfig><oem-resize>true</oem-resize></oemconfig></type>
  </preferences>
  <users><user name="root" password="secret" pwdformat="plain"/></users>
  {repositories}
  <packages type="bootstrap"><package name="passwd"/></packages>
  <packages type="image">{packages}</packages>
</image>
"""
LARGER = 1 << 29


@dataclass(frozen=True)
class Family:
    """What is special about the disk of a family.

    Attributes:
        attributes: Attributes of its ``<type>``.
        firmware: What it is booted with.
        kernel: What its kernel and its initrd are called, with ``*`` for the version.
        query: A command that asks the database of packages for bash.
        grub: The directory of GRUB.
        more: Further packages.
    """

    attributes: str
    firmware: Firmware
    kernel: tuple[str, str]
    query: str
    grub: str
    more: tuple[str, ...] = ()


FAMILIES = {
    "dnf4": Family(
        attributes='firmware="efi"',
        firmware="uefi",
        kernel=("vmlinuz-*-cloud-amd64", "initramfs-*-cloud-amd64.img"),
        query="rpm -q bash",
        grub="/boot/grub2",
        more=("rpm",),
    ),
    "zypper": Family(
        attributes='firmware="bios" bootpartition="true"',
        firmware="bios",
        kernel=("vmlinuz-*-cloud-amd64", "initrd-*-cloud-amd64"),
        query="rpm -q bash",
        grub="/boot/grub2",
        more=("rpm",),
    ),
    "pacman": Family(
        attributes='firmware="efi"',
        firmware="uefi",
        kernel=("vmlinuz-linux", "initramfs-linux.img"),
        query="ls /var/lib/pacman/local | grep ^bash-",
        grub="/boot/grub",
    ),
}


@pytest.mark.parametrize("manager", FAMILIES)
@pytest.mark.proves("package manager", "dnf4 pacman zypper")
@pytest.mark.proves("distribution", "archlinux redhat suse")
@pytest.mark.proves("bootloader", "grub2")
@pytest.mark.proves("initrd tool", "dracut")
def test_it_boots_to_a_login_and_nothing_failed(manager: str, tmp_path: Path) -> None:
    family, system = FAMILIES[manager], SYSTEMS[manager]
    names = (*system.packages, *system.boots, *family.more)
    (tmp_path / "description").mkdir()
    (tmp_path / "description/config.xml").write_text(
        DESCRIPTION.format(
            manager=manager,
            attributes=family.attributes,
            repositories=system.repositories(disk=True),
            packages="".join(f'<package name="{name}"/>' for name in names),
        )
    )
    appliance = Appliance(tmp_path / "description", settings=settings(tmp_path))
    image = appliance.build(tmp_path / "out").path
    subprocess.run(["qemu-img", "resize", "-q", "-f", "raw", image, f"+{LARGER}"], check=True)
    with boot(image, firmware=family.firmware, log=tmp_path / "console.log") as console:
        console.login("root", "secret")
        state = console.run("systemctl is-system-running --wait", timeout=300)
        failed = console.run("systemctl --failed --no-legend --plain")
        assert (state.output, failed.output) == ("running", "")
        assert console.run(family.query).output.startswith("bash-5")
        for name in family.kernel:
            assert console.run(f"test -s /boot/{name} && test ! -L /boot/{name}").status == 0, name
        assert console.run(f"test -s {family.grub}/grub.cfg").status == 0
        assert len(console.run("cat /etc/machine-id").output) == 32  # made at this boot
        assert int(console.run("df --output=size -B1 / | tail -1").output) > LARGER  # it has grown
        assert console.run("touch /root/it-is-writable; sync").status == 0
