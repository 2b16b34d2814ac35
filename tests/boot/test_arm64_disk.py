"""An arm64 disk, built and booted where the host is of another architecture, too."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_build import settings

from kiwinb.build.appliance import Appliance
from kiwinb.vm.qemu import boot

pytestmark = [
    pytest.mark.build,
    pytest.mark.boot,
    pytest.mark.needs("qemu-system-aarch64"),
]

DESCRIPTION = """\
<image schemaversion="8.5" name="armed">
  <description type="system"><author>A</author><contact>a@example.org</contact>
    <specification>A disk for another machine</specification></description>
  <preferences><version>1.0.0</version><packagemanager>apt</packagemanager>
    <type image="oem" filesystem="ext4" firmware="efi" efiparttable="gpt"
        kernelcmdline="console=ttyAMA0"><bootloader name="grub2" timeout="1"/></type>
  </preferences>
  <users><user name="root" password="secret" pwdformat="plain"/></users>
  <repository type="apt-deb" alias="debian" distribution="bookworm" components="main">
    <source path="mirror:debian"/></repository>
  <packages type="bootstrap"><package name="passwd"/></packages>
  <packages type="image">
    <package name="linux-image-cloud-arm64"/><package name="systemd-sysv"/>
    <package name="grub-efi-arm64-bin"/><package name="grub2-common"/>
    <package name="fdisk"/><package name="login"/><package name="initramfs-tools"/>
  </packages>
</image>
"""

SMALL_INITRD = {
    "conf.d/small": "MODULES=list\nCOMPRESS=gzip\n",
    "modules": "virtio_pci\nvirtio_blk\next4\ncrc32c_generic\n",
}
"""Of initramfs-tools: emulation is slow, and a machine of QEMU needs few modules."""


@pytest.mark.proves("bootloader", "grub2")
def test_it_boots_to_a_login_and_nothing_failed(tmp_path: Path) -> None:
    place = tmp_path / "armed"
    for name, text in SMALL_INITRD.items():
        file = place / "root/etc/initramfs-tools" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (place / "config.xml").write_text(DESCRIPTION)
    appliance = Appliance(place, arch="aarch64", settings=settings(tmp_path))
    image = appliance.build(tmp_path / "out").path
    log = tmp_path / "console.log"
    with boot(image, firmware="uefi", arch="aarch64", log=log) as console:
        console.login("root", "secret", timeout=900)
        state = console.run("systemctl is-system-running --wait", timeout=600)
        failed = console.run("systemctl --failed --no-legend --plain")
        assert (state.output, failed.output) == ("running", "")
        assert console.run("uname -m").output == "aarch64"
        assert console.run("test -d /sys/firmware/efi").status == 0
