"""The scripts of a description in a real Debian tree and on a real disk."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from small_build import build, write_description

from kiwinb import Appliance, Image

pytestmark = pytest.mark.build

CONFIG = r"""#!/bin/bash
set -euxo pipefail
. /.kconfig
. /.profile

test "$kiwi_iname" = small
test "$kiwi_type" = oem
test "$kiwi_profiles" = ""

echo 'NAME="old"' >/etc/default/appliance
baseUpdateSysConfig /etc/default/appliance NAME "new \$ value"
baseUpdateSysConfig /etc/default/appliance OTHER x
baseSetupBuildDay
baseInsertService ssh
baseService apt-daily.timer off
baseRemoveService no-such-service
baseSetRunlevel 3
baseVagrantSetup
setupContainerRuntime
suseSetupProduct
suseImportBuildKey
mountProc
mountCgroups
umountCgroups

baseStripLocales en_US
baseStripTranslations de
baseStripMans ls
baseStripInfos
baseStripDocs
kiwi_initrd_system=none baseStripKernel  # with dracut, KIWI NG strips nothing
baseStripUnusedLibs

# All of it still works.
dpkg --audit
perl -e 'print "perl works\n"'
mkdir -p /run/sshd
ssh-keygen -A
sshd -t
systemctl is-enabled ssh
modinfo -k "$(ls /lib/modules)" virtio_blk >/dev/null
sudo -n -l -U vagrant | grep -q 'NOPASSWD: *ALL'  # in a cage, setuid programs gain nothing
sudo -n -u vagrant true
test -u /usr/bin/sudo
ls -1 /usr/lib/*/security/pam_unix.so | xargs ldd | grep 'not found' && exit 1
! find /usr/bin /usr/sbin -type f -perm /111 | xargs ldd 2>/dev/null | grep 'not found'
"""
STEPS = {
    "post_bootstrap.sh": ". /.profile; test ! -e /usr/sbin/sshd; echo $kiwi_iname >/srv/order",
    "images.sh": "#!/usr/bin/perl\n"
    "open F, '>>', '/srv/order'; print F \"images $ENV{kiwi_type}\\n\";",
    "scripts/boot.sh": 'test -e /boot/grub/grub.cfg; echo "boot $*" >>/srv/order',
    "pre_disk_sync.sh": ". /.kconfig; baseStripAndKeep <<<'/usr/share/common-licenses'\n"
    "echo pre >>/srv/order",
    "disk.sh": "echo disk >>/srv/order",
    "scripts/install.sh": "set -e; test -e usr/sbin/sshd; . ./.profile\n"
    "test $kiwi_type = oem; test -f $1\n"
    "debugfs -R 'dump /srv/order /dev/stdout' $2 2>/dev/null >/tmp/order\n"
    "echo install >>/tmp/order; debugfs -w -R 'rm /srv/order' $2\n"
    "debugfs -w -R 'write /tmp/order /srv/order' $2; rm /tmp/order\n",
}
ORDER = "small\nimages oem\nboot ext4 3\npre\ndisk\ninstall\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Appliance, Image]:
    directory = tmp_path_factory.mktemp("shell")
    names = ("openssh-server", "sudo", "man-db", "locales", "kmod")
    description = write_description(
        directory, "oem", "".join(f'<package name="{name}"/>' for name in names)
    )
    (description / "scripts").mkdir()
    for name, text in {**STEPS, "config.sh": CONFIG}.items():
        (description / name).write_text(text)
    file = description / "config.xml"
    text = file.read_text()
    text = text.replace(
        '<type image="oem"',
        '<type image="oem" editbootconfig="scripts/boot.sh" editbootinstall="scripts/install.sh"',
    )
    text = text.replace("<timezone>", "<locale>en_US,de_DE</locale><timezone>")
    text = text.replace("</users>", '<user name="vagrant" groups="vagrant"/></users>')
    text = text.replace(
        '<packages type="bootstrap">',
        '<drivers><file name="drivers/virtio/"/><file name="drivers/block/"/>'
        '<file name="drivers/ata/*"/></drivers>'
        '<strip type="delete"><file name="usr/share/bug"/></strip>'
        '<packages type="bootstrap">',
    )
    file.write_text(text)
    return build(directory)


def test_functions_on_debian(built: tuple[Appliance, Image]) -> None:
    appliance, _image = built
    root = appliance.prepare()
    paths = {path.lstrip("/") for path in root.files()["path"]}
    wants = "etc/systemd/system/multi-user.target.wants"
    assert f"{wants}/ssh.service" in paths
    assert "etc/systemd/system/timers.target.wants/apt-daily.timer" not in paths
    assert {"build_day", "etc/sudoers.d/vagrant", "home/vagrant/.ssh/authorized_keys"} <= paths
    left = {".kconfig", ".profile", "image", "kernel-tree", "usr/share/bug"} & paths
    assert left == set()
    below = {
        place: {p for p in paths if p.startswith(f"{place}/")}
        for place in ("usr/share/man", "usr/share/doc", "usr/share/locale", "usr/lib/modules")
    }
    assert {p for p in below["usr/share/man"] if p.endswith(".gz")} == {
        p for p in below["usr/share/man"] if re.search(r"/[^/]*ls[^/]*$", p)
    }
    assert any(path.endswith("/ls.1.gz") for path in below["usr/share/man"])
    assert "usr/share/doc/bash/copyright" in paths
    assert "usr/share/doc/bash/README" not in paths
    languages = {path.split("/")[3] for path in below["usr/share/locale"] if path.endswith(".mo")}
    assert all(re.match("de([_@.]|$)", name) for name in languages), languages
    modules = {path for path in below["usr/lib/modules"] if ".ko" in path}
    names = {path.rpartition("/")[2].partition(".")[0] for path in modules}
    # scsi_mod is named by no driver, but libata needs it.
    assert {"virtio_blk", "libata", "scsi_mod"} <= names
    assert not {"btrfs", "nfs", "xfs", "r8169"} & names


@pytest.mark.proves("image kind", "oem", "editbootconfig", "editbootinstall")
def test_scripts_of_the_disk(built: tuple[Appliance, Image], tmp_path: Path) -> None:
    _appliance, image = built
    listed = subprocess.run(
        ["sfdisk", "--dump", image.path], check=True, capture_output=True, text=True
    ).stdout
    assert listed.count("start=") == 3  # the last one is the root partition
    start = max(int(value) for value in re.findall(r"start=\s*(\d+)", listed))
    partition = f"{image.path}?offset={start * 512}"
    order = subprocess.run(
        ["debugfs", "-R", "cat /srv/order", partition], check=True, capture_output=True, text=True
    )
    assert order.stdout == ORDER
    gone = subprocess.run(
        ["debugfs", "-R", "ls /usr/share/common-licenses", partition],
        capture_output=True,
        text=True,
    )
    assert "not found" in gone.stderr
