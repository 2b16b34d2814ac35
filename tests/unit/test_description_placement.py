"""Attributes that may stand on some image kinds only, and rules that look at several attributes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from descriptions import document

from kiwinb.description.document import Document
from kiwinb.description.override import Overrides, apply
from kiwinb.description.schema.rules import AttributeRule, element_rules
from kiwinb.description.select import select
from kiwinb.errors import DescriptionError, DescriptionErrors

KINDS = (
    *("btrfs", "cpio", "docker", "ext2", "ext3", "ext4", "iso", "oem", "pxe", "kis", "squashfs"),
    *("erofs", "tbz", "xfs", "oci", "appx", "enclave", "wsl"),
)
ONLY_ON = """
oem: boot_clone bootfilesystem bootpart_id bootpartition bootpartsize btrfs_quota_groups
  btrfs_root_is_readonly_snapshot btrfs_root_is_snapper_snapshot btrfs_root_is_subvolume
  btrfs_set_default_volume disk_start_sector dosparttable_extended_layout editbootinstall
  eficsmpart_id efimountoptions efipart_id efipartsize embed_integrity_metadata
  embed_verity_metadata force_mbr format formatoptions gcelicense install_continue_on_timeout
  installboot installiso installprovidefailsafe installpxe installstick integrity_keyfile
  integrity_legacy_hmac integrity_metadata_key_description mdraid overlayroot apply_dps_codes
  overlayroot_readonly_createoptions overlayroot_readonly_filesystem overlayroot_readonly_partsize
  overlayroot_write_partition ramonly root_clone rootpart_id spare_part spare_part_fs
  spare_part_fs_attributes spare_part_is_last spare_part_mountpoint standalone_integrity
  target_removable vhdfixedtag wwid_wait_timeout xen_server
iso oem: application_id editbootconfig eficsm efifatimagesize efiparttable gpt_hybrid_mbr
  verity_blocks volid
iso kis oem pxe: filesystem luks luksOS luks_pbkdf luks_randomize luks_version
docker oci: delta_root ensure_empty_tmpdirs provide_system_files require_system_files
iso: flags mediacheck publisher
iso pxe: hybridpersistent hybridpersistent_filesystem
oem pxe: boot
kis oem: target_blocksize
cpio iso oem pxe: bootprofile
kis pxe: compressed
erofs iso kis oem pxe: erofscompression
iso kis oem pxe squashfs: squashfscompression
iso oem pxe: firmware
enclave: enclave_format
kis oem pxe: initrd_system
appx: metadata_path
enclave iso kis oem pxe: kernelcmdline
docker kis oem pxe: rootfs_label
docker oci oem: derived_from
kis: archive
"""
"""Where KIWI NG allows an attribute of <type>, from its documentation of the elements."""

WITH = {
    "embed_verity_metadata": 'verity_blocks="1"',
    "embed_integrity_metadata": 'standalone_integrity="true"',
    "integrity_legacy_hmac": 'standalone_integrity="true"',
    "derived_from": 'format="oci:qcow2"',
}
"""What an attribute needs beside it on a disk."""
CANDIDATES = (
    *("1", "64", "10M", "true", "text", "0700", "no-copy-on-write"),
    "12345678-1234-1234-1234-123456789abc",
)


def _allowed() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in ONLY_ON.replace("\n  ", " ").strip().splitlines():
        kinds, _, names = line.partition(":")
        found |= {name: set(kinds.split()) for name in names.split()}
    return found


def _value(rule: AttributeRule) -> str:
    words = (*rule.datatype.values, *CANDIDATES)
    return next(word for word in words if rule.datatype.accepts(word))


def _document(directory: Path, kind: str, attributes: str, inside: str = "") -> Document:
    return document(
        directory,
        preferences=f"""
        <preferences><version>1.2.3</version><packagemanager>apt</packagemanager>
          <type image="{kind}" {attributes}>{inside}</type></preferences>
        """,
    )


def _needed(kind: str, name: str) -> Iterator[str]:
    """Attributes that a kind or an attribute needs beside it, other than the attribute itself."""
    if kind == "oem" and name != "filesystem":
        yield 'filesystem="btrfs"' if name.startswith("btrfs_") else 'filesystem="ext4"'
    if kind == "appx" and name != "metadata_path":
        yield 'metadata_path="meta"'
    if kind == "oem" and name in WITH:
        yield WITH[name]


@pytest.mark.parametrize("name", sorted({*element_rules()["type"].attributes} - {"image"}))
def test_an_attribute_stands_where_it_may(tmp_path: Path, name: str) -> None:
    rule = element_rules()["type"].attributes[name]
    allowed = _allowed().get(name, set(KINDS))
    for kind in KINDS:
        attributes = " ".join([f'{name}="{_value(rule)}"', *_needed(kind, name)])
        try:
            _document(tmp_path, kind, attributes)
            error = None
        except DescriptionErrors as caught:
            error = str(caught)
        if kind in allowed:
            assert error is None
            continue
        assert error is not None, f"{name} is not for {kind}"
        assert f'the attribute {name} is not allowed with image="{kind}"' in error
        assert "config.xml:" in error


def test_there_is_no_attribute_without_a_rule() -> None:
    free = {"image", "primary", "fscreateoptions", "fsmountoptions", "devicepersistency"}
    free |= {"bundle_format", "selinux_policy", "bootkernel"}
    assert {*element_rules()["type"].attributes} == {*_allowed()} | free
    assert set().union(*_allowed().values()) <= {*KINDS}
    assert {*KINDS} == {*element_rules()["type"].attributes["image"].datatype.values}


def test_all_errors_at_once(tmp_path: Path) -> None:
    with pytest.raises(DescriptionErrors) as caught:
        _document(tmp_path, "ext4", 'luks="secret" verity_blocks="all" installiso="true"')
    assert [name in str(caught.value) for name in ("luks", "verity_blocks", "installiso")] == [
        True
    ] * 3


LOADERS = {
    "bls": ("grub2",),
    "output_console": ("grub2", "grub2_s390x_emu"),
    "input_console": ("grub2", "grub2_s390x_emu"),
    "serial_line": ("grub2", "grub2_s390x_emu"),
    "video_mode": ("grub2", "grub2_s390x_emu"),
    "timeout": ("grub2", "grub2_s390x_emu", "systemd_boot", "zipl"),
    "timeout_style": ("grub2", "grub2_s390x_emu"),
    "targettype": ("grub2_s390x_emu", "zipl"),
}


@pytest.mark.parametrize(
    ("name", "loader"),
    list(product(LOADERS, ["grub2", "grub2_s390x_emu", "systemd_boot", "custom", "zipl"])),
)
def test_an_attribute_of_the_boot_loaders_that_it_is_for(
    tmp_path: Path, name: str, loader: str
) -> None:
    rule = element_rules()["bootloader"].attributes[name]
    words = (*rule.datatype.values, "1", "serial", "true")
    value = next(word for word in words if rule.datatype.accepts(word))
    inside = f'<bootloader name="{loader}" {name}="{value}"/>'
    if loader in LOADERS[name]:
        _document(tmp_path, "oem", 'filesystem="ext4"', inside)
        return
    with pytest.raises(DescriptionErrors, match=f'{name} is not allowed with name="{loader}"'):
        _document(tmp_path, "oem", 'filesystem="ext4"', inside)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("element", "attribute", "kinds"),
    [
        ("bootloader", 'name="grub2"', {"oem", "iso"}),
        ("containerconfig", 'name="n"', {"oem", "docker", "oci", "appx"}),
        *(
            ("containerconfig", f'{name}="x"', {"oem", "docker", "oci"})
            for name in ("tag", "additionalnames", "maintainer", "user", "workingdir")
        ),
    ],
)
def test_where_elements_have_their_attributes(
    tmp_path: Path, element: str, attribute: str, kinds: set[str], kind: str
) -> None:
    needed = " ".join(_needed(kind, ""))
    if kind in kinds:
        _document(tmp_path, kind, needed, f"<{element} {attribute}/>")
        return
    with pytest.raises(DescriptionErrors, match=f'not allowed with image="{kind}"'):
        _document(tmp_path, kind, needed, f"<{element} {attribute}/>")


EXT4 = 'filesystem="ext4"'
BTRFS = 'filesystem="btrfs"'


@pytest.mark.parametrize(
    ("kind", "attributes", "inside", "problem"),
    [
        ("oem", "", "", "the attribute filesystem is missing"),
        ("appx", "", "", "the attribute metadata_path is missing"),
        *(
            ("oem", f'{EXT4} {name}="true"', "", f'{name} is not allowed with filesystem="ext4"')
            for name in (
                *("btrfs_quota_groups", "btrfs_set_default_volume", "btrfs_root_is_subvolume"),
                *("btrfs_root_is_snapper_snapshot", "btrfs_root_is_readonly_snapshot"),
            )
        ),
        (
            *("oem", f'{BTRFS} btrfs_root_is_subvolume="true"'),
            *('<systemdisk preferlvm="true"/>', 'not allowed with preferlvm="true"'),
        ),
        (
            *("oem", EXT4, '<systemdisk><volume name="a" quota="1G"/></systemdisk>'),
            "quota is for volumes of btrfs only",
        ),
        ("oem", f'{EXT4} derived_from="x"', "", "derived_from is not allowed"),
        ("oem", f'{EXT4} derived_from="x" format="qcow2"', "", "derived_from is not allowed"),
        (
            *("oem", f'{EXT4} format="qcow2"', '<containerconfig name="n"/>'),
            '<containerconfig> is not allowed with format="qcow2"',
        ),
        ("oem", f'{EXT4} embed_verity_metadata="true"', "", "without verity_blocks"),
        ("oem", f'{EXT4} embed_integrity_metadata="1"', "", "without standalone_integrity"),
        ("oem", f'{EXT4} integrity_legacy_hmac="true"', "", "without standalone_integrity"),
        (
            *("oem", EXT4, '<luksformat><option name="--cipher" value="aes"/></luksformat>'),
            "<luksformat> is not allowed without the attribute luks",
        ),
        (
            *("oem", EXT4, '<installmedia><initrd action="add"/></installmedia>'),
            "<installmedia> is not allowed without installation media",
        ),
        ("oem", f'{EXT4} format="vagrant"', "", "needs a <vagrantconfig> with a provider"),
        (
            *("oem", f'{EXT4} format="vagrant"'),
            '<vagrantconfig provider="libvirt" virtualsize="9" '
            'virtualbox_guest_additions_present="true"/>',
            "for the provider virtualbox only",
        ),
        *(
            (
                *("oem", EXT4, f'<partitions><partition name="{name}" size="9"/></partitions>'),
                f"the partition name {name} is reserved",
            )
            for name in ("root", "readonly", "boot", "prep", "spare", "swap", "efi_csm", "efi")
        ),
        ("oem", EXT4, '<size unpartitioned="9">8</size>', "is more than the size of the disk"),
        (
            *("oem", EXT4, '<bootloader name="grub2"><securelinux><hkd_cert name="a"/>'),
            '<securelinux> is not allowed with the boot loader "grub2"',
        ),
    ],
)
def test_what_does_not_go_together(
    tmp_path: Path, kind: str, attributes: str, inside: str, problem: str
) -> None:
    if inside.endswith('<hkd_cert name="a"/>'):
        inside += "</securelinux></bootloader>"
    with pytest.raises(DescriptionErrors) as caught:
        _document(tmp_path, kind, attributes, inside)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ('<packages type="image" bootstrap_package="b"/>', "bootstrap_package is not allowed"),
        (
            '<packages type="image"><collectionModule name="a" enable="1"/></packages>',
            "<collectionModule> is not allowed in packages of the type",
        ),
        (
            '<packages type="bootstrap"><collectionModule name="a" enable="0" stream="1"/>'
            "</packages>",
            "a module that is switched off has no stream",
        ),
        (
            '<repository type="rpm-md" architectures="amd64"><source path="mirror:a"/>'
            "</repository>",
            'architectures is not allowed with type="rpm-md"',
        ),
    ],
)
def test_sections_that_do_not_go_together(tmp_path: Path, section: str, problem: str) -> None:
    with pytest.raises(DescriptionErrors) as caught:
        document(tmp_path, section)
    assert problem in str(caught.value)


def test_an_override_stands_where_it_may(tmp_path: Path) -> None:
    image = select(_document(tmp_path, "tbz", ""), arch="x86_64")
    with pytest.raises(DescriptionError, match='luks is not allowed with image="tbz"'):
        apply(image, Overrides(set_type_attr=("luks=secret",)))


def test_an_override_in_another_spelling(tmp_path: Path) -> None:
    image = select(_document(tmp_path, "oem", EXT4), arch="x86_64")
    changed = apply(image, Overrides(set_type_attr=("force_mbr=1",))).type
    assert (changed.force_mbr, changed.attributes["force_mbr"]) == (True, "true")
