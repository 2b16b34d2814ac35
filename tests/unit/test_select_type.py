from __future__ import annotations

from pathlib import Path

import pytest
from descriptions import document

from kiwinb.description.select import select
from kiwinb.errors import DescriptionError

BASE = "<version>1.2.3</version><packagemanager>apt</packagemanager>"


def preferences(*sections: str) -> str:
    first, *others = sections
    return f"<preferences>{BASE}{first}</preferences>{''.join(others)}"


@pytest.mark.parametrize(
    ("types", "wanted", "chosen"),
    [
        ('<type image="tbz"/><type image="docker"/>', None, "tbz"),
        ('<type image="tbz"/><type image="docker" primary="true"/>', None, "docker"),
        ('<type image="tbz" primary="true"/><type image="docker"/>', "docker", "docker"),
        ('<type image="tbz" primary="false"/><type image="docker"/>', None, "tbz"),
    ],
)
def test_choice(tmp_path: Path, types: str, wanted: str | None, chosen: str) -> None:
    image = select(document(tmp_path, preferences=preferences(types)), type=wanted)
    assert image.type.image == chosen


def test_unknown_type_lists_the_types(tmp_path: Path) -> None:
    text = preferences(
        '<type image="tbz"/><type image="docker"/>',
        '<preferences profiles="disk"><type image="oem" filesystem="ext4"/></preferences>',
    )
    profiles = '<profiles><profile name="disk" description="a disk"/></profiles>'
    with pytest.raises(DescriptionError) as caught:
        select(document(tmp_path, profiles, preferences=text), type="oem")
    assert "there is no type 'oem' without profiles" in str(caught.value)
    assert "The types here are: tbz, docker." in str(caught.value)
    assert "Under profiles disk there is: oem." in str(caught.value)


def test_no_type_for_the_architecture(tmp_path: Path) -> None:
    text = preferences("", '<preferences arch="aarch64,riscv64"><type image="tbz"/></preferences>')
    source = document(tmp_path, preferences=text)
    assert select(source, arch="riscv64").type.image == "tbz"
    with pytest.raises(DescriptionError, match="there is no type without profiles, for x86_64"):
        select(source, arch="x86_64")


def test_sections_count_in_the_order_of_the_document(tmp_path: Path) -> None:
    profiles = """
    <profiles>
      <profile name="vm" description="vm"/>
      <profile name="vmware" description="vmware"><requires profile="vm"/></profile>
    </profiles>
    """
    text = """
    <preferences profiles="vmware">
      <type image="oem" filesystem="ext4" format="vmdk"/><timezone>Europe/Berlin</timezone>
    </preferences>
    <preferences profiles="vm">
      <type image="oem" filesystem="ext4" format="qcow2"/><keytable>de</keytable>
      <timezone>Europe/Paris</timezone>
    </preferences>
    <preferences>
      <version>1.2.3</version><packagemanager>apt</packagemanager><timezone>UTC</timezone>
      <locale>en_US, de_DE</locale><type image="oem" filesystem="xfs"/>
      <release-version>12</release-version><rpm-excludedocs>true</rpm-excludedocs>
    </preferences>
    """
    source = document(tmp_path, profiles, preferences=text)
    plain = select(source)
    assert (plain.type.filesystem, plain.preferences.timezone) == ("xfs", "UTC")
    assert plain.preferences.locale == ("en_US", "de_DE")
    assert plain.preferences.release_version == "12"
    assert plain.preferences.rpm_excludedocs is True
    assert plain.preferences.rpm_check_signatures is None
    vm = select(source, profiles=["vm"])
    assert (vm.type.format, vm.preferences.timezone) == ("qcow2", "UTC")
    vmware = select(source, profiles=["vmware"])
    assert (vmware.type.format, vmware.preferences.timezone) == ("vmdk", "UTC")
    assert vmware.preferences.keytable == "de"
    assert vmware.result_name == f"test.{vmware.arch}-1.2.3"


def test_everything_a_type_says(tmp_path: Path) -> None:
    text = preferences(
        """
        <type image="oem" filesystem="ext4" firmware="efi" bootpartition="false" efipartsize="64"
              kernelcmdline="quiet  splash" fscreateoptions="-O '^has_journal' -m 1"
              fsmountoptions="noatime,discard" formatoptions="compat=1.1" format="qcow2"
              spare_part_fs_attributes="no-copy-on-write,synchronous-updates" installiso="true"
              luks="secret">
          <bootloader name="grub2" timeout="0" bls="false">
            <bootloadersettings>
              <shimoption name="a" value="b"/><installoption name="--removable"/>
            </bootloadersettings>
          </bootloader>
          <oemconfig>
            <oem-resize>true</oem-resize><oem-swapsize>512</oem-swapsize>
            <oem-recoveryID>83</oem-recoveryID>
          </oemconfig>
          <size unit="G" additive="true" unpartitioned="1">2</size>
          <systemdisk name="vg" preferlvm="true">
            <volume name="@root" freespace="500M"/>
            <volume name="data" size="all" mountpoint="/srv" copy_on_write="false"/>
            <volume name="iron" size="1G" arch="s390x"/>
          </systemdisk>
          <partitions>
            <partition name="var" size="100" mountpoint="/var" filesystem="ext3" clone="1"/>
          </partitions>
          <initrd action="add"><dracut module="a"/><dracut driver="b"/></initrd>
          <installmedia><initrd action="omit"><dracut module="c"/></initrd></installmedia>
          <luksformat><option name="--cipher" value="aes"/></luksformat>
          <machine memory="512" guestOS="other"><vmdisk id="0" controller="ide"/></machine>
        </type>
        """
    )
    chosen = select(document(tmp_path, preferences=text), arch="x86_64").type
    assert (chosen.bootpartition, chosen.efipartsize, chosen.firmware) == (False, 64, "efi")
    assert chosen.fscreateoptions == ("-O", "^has_journal", "-m", "1")
    assert chosen.fsmountoptions == ("noatime", "discard")
    assert chosen.formatoptions == ("compat=1.1",)
    assert chosen.spare_part_fs_attributes == ("no-copy-on-write", "synchronous-updates")
    assert chosen.attributes["luks"] == "secret"
    assert chosen.bootloader is not None
    assert (chosen.bootloader.timeout, chosen.bootloader.bls) == (0, False)
    assert chosen.bootloader.settings.shimoption[0].value == "b"
    assert chosen.bootloader.settings.installoption[0].name == "--removable"
    assert (chosen.oemconfig.resize, chosen.oemconfig.swapsize) == (True, 512)
    assert chosen.oemconfig.recoveryID == "83"
    assert chosen.oemconfig.reboot is None
    assert chosen.size is not None
    assert (chosen.size.mebibytes, chosen.size.additive) == (2048, True)
    assert chosen.size.unpartitioned == 1
    assert chosen.systemdisk is not None and chosen.systemdisk.preferlvm
    assert [volume.name for volume in chosen.systemdisk.volumes] == ["@root", "data"]
    assert chosen.systemdisk.volumes[1].copy_on_write is False
    assert (chosen.partitions[0].size, chosen.partitions[0].clone) == ("100", 1)
    assert [entry.module or entry.driver for entry in chosen.initrd[0].dracut] == ["a", "b"]
    assert chosen.installmedia[0].action == "omit"
    assert chosen.luksformat[0].name == "--cipher"
    assert chosen.machine is not None and chosen.machine.attributes["memory"] == "512"
    assert chosen.machine.devices[0].attributes == {"id": "0", "controller": "ide"}


def test_disks_have_a_bootloader_by_default(tmp_path: Path) -> None:
    text = preferences('<type image="oem" filesystem="ext4"/><type image="tbz"/>')
    source = document(tmp_path, preferences=text)
    disk = select(source).type.bootloader
    assert disk is not None and disk.name == "grub2"
    assert select(source, type="tbz").type.bootloader is None


def test_container(tmp_path: Path) -> None:
    text = preferences(
        """
        <type image="docker" derived_from="file:base.tar" ensure_empty_tmpdirs="false">
          <containerconfig name="web" tag="1" additionalnames="web:latest, :2" user="www">
            <entrypoint execute="/bin/sh"><argument name="-c"/></entrypoint>
            <subcommand clear="true"/>
            <expose><port number="80"/><port number="443/tcp"/></expose>
            <volumes><volume name="/srv"/></volumes>
            <environment><env name="A" value="b"/></environment>
            <labels><label name="l" value="v"/></labels>
            <stopsignal>SIGINT</stopsignal>
            <history author="me" created_by="kiwinb">The  web</history>
          </containerconfig>
        </type>
        """
    )
    chosen = select(document(tmp_path, preferences=text)).type
    config = chosen.containerconfig
    assert chosen.derived_from == "file:base.tar" and chosen.ensure_empty_tmpdirs is False
    assert config is not None and (config.name, config.tag, config.user) == ("web", "1", "www")
    assert config.additionalnames == ("web:latest", ":2")
    assert config.entrypoint is not None and config.entrypoint.argv == ("/bin/sh", "-c")
    assert config.subcommand is not None and config.subcommand.clear
    assert config.expose == ("80", "443/tcp")
    assert config.volumes == ("/srv",)
    assert (config.environment[0].name, config.environment[0].value) == ("A", "b")
    assert (config.labels[0].name, config.labels[0].value) == ("l", "v")
    assert config.stopsignal == "SIGINT"
    assert config.history is not None and config.history.author == "me"
    assert config.history.comment == "The  web"


def test_words_with_an_open_quote(tmp_path: Path) -> None:
    text = preferences('<type image="oem" filesystem="ext4" fscreateoptions="-O \'x"/>')
    with pytest.raises(DescriptionError, match="fscreateoptions cannot be split"):
        select(document(tmp_path, preferences=text))
