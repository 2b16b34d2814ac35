"""Runtime checks: for each, a description that passes and one that it stops."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from descriptions import BOOTSTRAP, PACKAGES, PREFERENCES, REPOSITORY, document
from lxml import etree

from kiwinb.checks import (
    ALWAYS,
    CHECKS,
    NOT_NEEDED,
    CheckErrors,
    Subject,
    check,
    make_subject,
    problems,
)
from kiwinb.checks import host as host_module
from kiwinb.checks.host import HostFacts, gather
from kiwinb.checks.requirements import install_command, tools_for
from kiwinb.description.select import select
from kiwinb.distributions import DISTRIBUTIONS
from kiwinb.errors import HostError, KiwinbError
from kiwinb.images import IMAGE_KINDS
from kiwinb.packages import MANAGERS
from kiwinb.sandbox.foreign import emulator_for
from kiwinb.sandbox.mount_table import filesystem_of
from kiwinb.sandbox.tool_versions import Unfit
from kiwinb.sandbox.tools import TOOLS
from kiwinb.settings import Settings, load_settings
from kiwinb.storage.filesystem import FILESYSTEMS

KIWI = (
    "repositories_configured",
    "target_dir_on_unsupported_filesystem",
    "include_references_unresolvable",
    "image_include_repos_publicly_resolvable",
    "target_directory_not_in_shared_cache",
    "volume_label_used_with_lvm",
    "partuuid_persistency_type_used_with_mbr",
    "swap_name_used_with_lvm",
    "volume_setup_defines_reserved_labels",
    "volume_setup_defines_multiple_fullsize_volumes",
    "volume_setup_has_no_root_definition",
    "container_tool_chain_installed",
    "luksformat_options_valid",
    "appx_naming_conventions_valid",
    "initrd_selection_required",
    "boot_description_exists",
    "consistent_kernel_in_boot_and_system_image",
    "dracut_module_versions_compatible_to_kiwi",
    "dracut_module_for_oem_install_in_package_list",
    "dracut_module_for_disk_oem_in_package_list",
    "dracut_module_for_live_iso_in_package_list",
    "dracut_module_for_disk_overlay_in_package_list",
    "xen_uniquely_setup_as_server_or_guest",
    "mediacheck_installed",
    "checkmedia_used_with_msdos_table",
    "image_version_provided",
    "image_type_unique",
    "efi_fat_image_has_correct_size",
    "bootloader_env_compatible_with_loader",
)
"""KIWI NG's names."""

HOST = HostFacts(
    tools=frozenset((*TOOLS, "implantisomd5")),
    target=Path("/srv/out"),
    target_filesystem="ext4",
    shared=(Path("/home/me/.cache/kiwinb/downloads"),),
    luks_options=frozenset(("--cipher", "--key-size")),
)


@dataclass(frozen=True)
class Case:
    """A description, as far as it is not the plain one, and the host it is built on."""

    type: str = '<type image="oem" filesystem="ext4" firmware="efi"/>'
    packages: tuple[str, ...] = ("bash",)
    repository: str = REPOSITORY
    preferences: str = PREFERENCES
    host: HostFacts = HOST
    boot_packages: tuple[str, ...] | None = None

    def write(self, directory: Path) -> Subject:
        own = '<type image="oem" filesystem="ext4" firmware="efi"/>'
        names = "".join(f'<package name="{name}"/>' for name in self.packages)
        whole = document(
            directory,
            preferences=self.preferences.replace(own, self.type),
            repository=self.repository,
            packages=f'<packages type="bootstrap"><package name="apt"/></packages>\n'
            f'<packages type="image">{names}</packages>',
        )
        if self.boot_packages is not None:
            boot = directory / "boot"
            boot.mkdir()
            names = "".join(f'<package name="{name}"/>' for name in self.boot_packages)
            document(boot, packages=f'<packages type="bootstrap">{names}</packages>')
        settings = Settings(store=directory / "store", cache=directory / "cache")
        subject = make_subject(whole, select(whole, arch="x86_64"), settings)
        return replace(subject, host=self.host)


def _type(attributes: str, inside: str = "", image: str = "oem") -> str:
    return f'<type image="{image}" {attributes}>{inside}</type>'


def _volumes(*volumes: str, disk: str = "", filesystem: str = "btrfs") -> Case:
    inside = "".join(f"<volume {item}/>" for item in volumes)
    return Case(_type(f'filesystem="{filesystem}"', f"<systemdisk {disk}>{inside}</systemdisk>"))


def _repository(path: str, more: str = "") -> Case:
    return Case(
        repository=f'<repository type="apt-deb" {more}><source path="{path}"/></repository>'
    )


def _target(place: str, filesystem: str = "ext4") -> Case:
    return Case(host=replace(HOST, target=Path(place), target_filesystem=filesystem))


def _without(*tools: str) -> HostFacts:
    return replace(HOST, tools=HOST.tools - {*tools})


def _dracut(attributes: str, *packages: str, image: str = "oem", inside: str = "") -> Case:
    return Case(
        _type(
            f'filesystem="ext4" {attributes}'
            + (' initrd_system="dracut"' if image == "oem" else ""),
            inside,
            image,
        ),
        packages,
    )


def _swap(name: str, disk: str) -> Case:
    oem = f"<oemconfig><oem-swap>true</oem-swap>{name}</oemconfig>"
    return Case(_type('filesystem="ext4"', oem + disk))


def _appx(name: str = "Debian", application: str = "Debian.App", launcher: str = "d.exe") -> Case:
    history = f'<history application_id="{application}" launcher="{launcher}">made</history>'
    config = f'<containerconfig name="{name}">{history}</containerconfig>'
    return Case(_type('metadata_path="meta"', config, "appx"))


def _loader(name: str) -> Case:
    settings = '<bootloadersettings><environment><env name="a" value="b"/></environment>'
    loader = f'<bootloader name="{name}">{settings}</bootloadersettings></bootloader>'
    return Case(_type('filesystem="ext4"', loader))


VERSION = "<version>1.2.3</version>"
TWO_TYPES = PREFERENCES.replace("</preferences>", '<type image="{}"/></preferences>')
LABELLED = 'name="home" label="HOME"'
KIWI_INITRD = 'filesystem="ext4" initrd_system="kiwi"'
MEDIA = 'mediacheck="true" firmware="efi"'
OLD_TAGMEDIA = replace(_without("implantisomd5"), tagmedia=(6, 3))
OLD_TAGMEDIA = replace(OLD_TAGMEDIA, tools=OLD_TAGMEDIA.tools | {"tagmedia"})
LUKS = '<luksformat><option name="{}" value="x"/></luksformat>'

CASES: dict[str, tuple[Case, Case, str | None]] = {
    "image_version_provided": (
        Case(),
        Case(preferences=PREFERENCES.replace(VERSION, "")),
        "preferences",
    ),
    "image_type_unique": (
        Case(preferences=TWO_TYPES.format("tbz")),
        Case(preferences=TWO_TYPES.format('oem" filesystem="ext4')),
        "type",
    ),
    "image_type_supported": (Case(), Case(_type('metadata_path="meta"', image="appx")), "type"),
    "image_kind_refuses_nothing": (
        Case(_type('filesystem="ext4" format="qcow2"')),
        Case(_type('filesystem="ext4" format="ova"')),
        "type",
    ),
    "description_supported": (
        Case(_type('filesystem="ext4" installiso="false"')),
        Case(_type('filesystem="ext4" luks="secret"')),
        "type",
    ),
    "package_manager_supported": (
        Case(),
        Case(preferences=PREFERENCES.replace("apt", "apk")),
        "packagemanager",
    ),
    "host_tools_installed": (
        Case(),
        Case(host=_without("sfdisk", "mke2fs")),
        "type",
    ),
    "host_tools_new_enough": (
        Case(),
        Case(host=replace(HOST, unfit=(Unfit("mksquashfs", "it is too old", "Install another."),))),
        "type",
    ),
    "host_tools_suffice": (
        Case(),
        Case(host=replace(HOST, lacking=("mkfs does not compress with other",))),
        "type",
    ),
    "repositories_configured": (
        Case(),
        _repository("mirror:debian", 'imageonly="true"'),
        "repository",
    ),
    "lists_of_mirrors_supported": (
        _repository("https://a.example.org/debian", 'sourcetype="baseurl"'),
        _repository("https://a.example.org/list?repo=x", 'sourcetype="metalink"'),
        "repository",
    ),
    "image_include_repos_publicly_resolvable": (
        _repository("mirror:debian", 'imageinclude="true"'),
        _repository("dir:///srv/debian", 'imageinclude="true"'),
        "source",
    ),
    "target_dir_on_unsupported_filesystem": (
        _target("/srv/out"),
        _target("/mnt/stick", "vfat"),
        "image",
    ),
    "target_directory_not_in_shared_cache": (
        _target("/home/me/out"),
        _target("/home/me/.cache/kiwinb/downloads/out"),
        "image",
    ),
    "volume_label_used_with_lvm": (
        _volumes(LABELLED, disk='preferlvm="true"'),
        _volumes(LABELLED),
        "volume",
    ),
    "volume_setup_defines_reserved_labels": (
        _volumes(LABELLED, filesystem="ext4"),
        _volumes('name="home" label="BOOT"', filesystem="ext4"),
        "volume",
    ),
    "volume_setup_defines_multiple_fullsize_volumes": (
        _volumes('name="@root" size="2G"', 'name="home" size="all"'),
        _volumes('name="var" freespace="all"', 'name="home" size="all"'),
        "volume",
    ),
    "volume_setup_has_no_root_definition": (
        _volumes('name="@root" size="2G"'),
        _volumes('name="/" size="2G"'),
        "volume",
    ),
    "swap_name_used_with_lvm": (
        _swap("<oem-swapname>swapspace</oem-swapname>", "<systemdisk/>"),
        _swap("<oem-swapname>swapspace</oem-swapname>", ""),
        "oem-swapname",
    ),
    "partuuid_persistency_type_used_with_mbr": (
        Case(_type('filesystem="ext4" firmware="efi" devicepersistency="by-partuuid"')),
        Case(_type('filesystem="ext4" firmware="bios" devicepersistency="by-partuuid"')),
        "type",
    ),
    "luksformat_options_valid": (
        Case(_type('filesystem="ext4" luks="secret"', LUKS.format("--cipher"))),
        Case(_type('filesystem="ext4" luks="secret"', LUKS.format("--cypher"))),
        "option",
    ),
    "container_tool_chain_installed": (
        Case(_type("", image="oci"), host=_without("sfdisk")),
        Case(_type("", image="oci"), host=_without("xz")),
        "type",
    ),
    "appx_naming_conventions_valid": (_appx(), _appx(launcher="debian.sh"), "history"),
    "initrd_selection_required": (
        Case(_type(f'{KIWI_INITRD} boot="boot"')),
        Case(_type('filesystem="ext4" initrd_system="dracut" boot="boot"')),
        "type",
    ),
    "boot_description_exists": (
        Case(_type(f'{KIWI_INITRD} boot="boot"'), boot_packages=("apt",)),
        Case(_type(f'{KIWI_INITRD} boot="boot"')),
        "type",
    ),
    "consistent_kernel_in_boot_and_system_image": (
        Case(
            _type(f'{KIWI_INITRD} boot="boot"'),
            ("linux-image-amd64",),
            boot_packages=("linux-image-amd64", "busybox"),
        ),
        Case(
            _type(f'{KIWI_INITRD} boot="boot"'),
            ("linux-image-amd64",),
            boot_packages=("linux-image-cloud-amd64",),
        ),
        "packages",
    ),
    "dracut_module_for_oem_install_in_package_list": (
        _dracut('installiso="true"', "dracut-kiwi-oem-dump"),
        _dracut('installiso="true"', "dracut"),
        "packages",
    ),
    "dracut_module_for_disk_oem_in_package_list": (
        _dracut("", "dracut", "systemd-sysv"),
        _dracut("", "dracut"),
        "packages",
    ),
    "dracut_module_for_live_iso_in_package_list": (
        _dracut('flags="dmsquash"', "dracut", image="iso"),
        _dracut('flags="overlay"', "dracut", image="iso"),
        "packages",
    ),
    "dracut_module_for_disk_overlay_in_package_list": (
        _dracut('overlayroot="true"', "dracut-kiwi-overlay"),
        _dracut('overlayroot="true"', "dracut"),
        "packages",
    ),
    "keytable_known": (
        Case(preferences=PREFERENCES.replace("<type", "<keytable>uk</keytable><type")),
        Case(preferences=PREFERENCES.replace("<type", "<keytable>ukk</keytable><type")),
        "keytable",
    ),
    "xen_uniquely_setup_as_server_or_guest": (
        Case(_type('filesystem="ext4" xen_server="true"')),
        Case(_type('filesystem="ext4" xen_server="true" firmware="ec2"')),
        "type",
    ),
    "bootloader_env_compatible_with_loader": (
        _loader("grub2"),
        _loader("systemd_boot"),
        "environment",
    ),
    "foreign_architecture_runs_here": (
        Case(),
        Case(host=replace(HOST, foreign=HostError("no emulator", remedy="Install it."))),
        "type",
    ),
    "mediacheck_installed": (
        Case(_type(MEDIA, image="iso")),
        Case(_type(MEDIA, image="iso"), host=_without("implantisomd5", "tagmedia")),
        "type",
    ),
    "checkmedia_used_with_msdos_table": (
        Case(_type(f'{MEDIA} efiparttable="msdos"', image="iso"), host=OLD_TAGMEDIA),
        Case(_type(MEDIA, image="iso"), host=OLD_TAGMEDIA),
        "type",
    ),
    "efi_fat_image_has_correct_size": (
        Case(_type('efifatimagesize="31"', image="iso")),
        Case(_type('efifatimagesize="32"', image="iso")),
        "type",
    ),
}


def _found(subject: Subject, name: str) -> list[str]:
    return [str(item) for item in problems(subject) if item.check == name]


@pytest.mark.parametrize("name", CASES)
def test_check_passes_a_good_description(name: str, tmp_path: Path) -> None:
    assert _found(CASES[name][0].write(tmp_path), name) == []


@pytest.mark.parametrize("name", CASES)
def test_check_stops_a_bad_description_and_says_where(name: str, tmp_path: Path) -> None:
    _good, bad, element = CASES[name]
    found = [item for item in problems(bad.write(tmp_path)) if item.check == name]
    assert len(found) == 1
    assert found[0].what
    assert found[0].remedy
    assert found[0].location.element == element
    assert found[0].location.line
    assert found[0].location.file.name == "config.xml"


def test_every_check_of_kiwi_is_there_and_every_check_is_tested() -> None:
    assert {*CHECKS} | {*NOT_NEEDED} >= {*KIWI}
    assert {*CASES} | {"include_references_unresolvable"} == {*CHECKS}


def test_an_include_that_was_left_is_a_problem(tmp_path: Path) -> None:
    subject = Case().write(tmp_path)
    etree.SubElement(subject.document.tree.getroot(), "include", {"from": "file://x.xml"})
    assert len(_found(subject, "include_references_unresolvable")) == 1
    assert "x.xml" in _found(subject, "include_references_unresolvable")[0]


def test_the_plain_description_passes_all(tmp_path: Path) -> None:
    assert problems(Case().write(tmp_path)) == ()


@pytest.mark.parametrize(
    "case",
    [_appx(name="a"), _appx(name="x" * 51), _appx(application="1.App"), _appx(application="A..B")],
)
def test_names_that_windows_does_not_take(case: Case, tmp_path: Path) -> None:
    assert len(_found(case.write(tmp_path), "appx_naming_conventions_valid")) == 1


def test_the_initrd_of_a_pxe_image_is_of_kiwi_unless_another_is_chosen(tmp_path: Path) -> None:
    for attributes, found in (('boot="boot"', 0), ('boot="boot" initrd_system="dracut"', 1)):
        subject = Case(_type(attributes, image="pxe")).write(tmp_path)
        assert len(_found(subject, "initrd_selection_required")) == found


@pytest.mark.parametrize("brings", ["root.tar.xz", "archive", "root/usr/share/keymaps/own.map.gz"])
def test_a_keymap_that_the_description_brings(tmp_path: Path, brings: str) -> None:
    text = PREFERENCES.replace("<type", "<keytable>own</keytable><type")
    assert len(_found(Case(preferences=text).write(tmp_path), "keytable_known")) == 1
    packages = PACKAGES
    if brings == "archive":
        packages = PACKAGES.replace("</packages>", '<archive name="keymaps.tar"/></packages>', 1)
    else:
        (tmp_path / brings).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / brings).write_bytes(b"")
    read = document(tmp_path, preferences=text, packages=packages + BOOTSTRAP)
    subject = replace(Case().write(tmp_path), document=read, image=select(read, arch="x86_64"))
    assert _found(subject, "keytable_known") == []


@pytest.mark.parametrize("manager", MANAGERS)
@pytest.mark.parametrize("kind", ["metalink", "mirrorlist"])
def test_lists_of_mirrors_are_for_managers_that_can_read_them(
    manager: str, kind: str, tmp_path: Path
) -> None:
    case = _repository("https://a.example.org/list", f'alias="own" sourcetype="{kind}"')
    text = PREFERENCES.replace("apt", manager)
    found = _found(replace(case, preferences=text).write(tmp_path), "lists_of_mirrors_supported")
    if manager in ("dnf4", "dnf5", "microdnf", "zypper"):
        assert found == []
    else:
        (said,) = found
        assert f'own has sourcetype="{kind}", which kiwinb cannot read with {manager}' in said


def test_packages_of_a_collection_are_not_guessed(tmp_path: Path) -> None:
    subject = _dracut("", "dracut").write(tmp_path)
    packages = subject.image.packages
    grouped = replace(packages, image=replace(packages.image, collections=("minimal",)))
    subject = replace(subject, image=replace(subject.image, packages=grouped))
    assert _found(subject, "dracut_module_for_disk_oem_in_package_list") == []


def test_all_problems_are_told_at_once_and_checks_can_be_disabled(tmp_path: Path) -> None:
    bad = Case(
        _type('filesystem="ext4" xen_server="true" firmware="ec2"'),
        preferences=PREFERENCES.replace(VERSION, "").replace("apt", "apk"),
    )
    subject = bad.write(tmp_path)
    settings = Settings(store=tmp_path / "store", cache=tmp_path / "cache")
    with pytest.raises(CheckErrors) as caught:
        check(subject.document, subject.image, settings)
    names = {item.check for item in caught.value.problems}
    asked = {
        "image_version_provided",
        "package_manager_supported",
        "xen_uniquely_setup_as_server_or_guest",
    }
    assert names >= asked
    assert caught.value.exit_status == 4
    assert all(f"[{name}]" in str(caught.value) for name in asked)

    harmless = Case(preferences=PREFERENCES.replace(VERSION, "")).write(tmp_path)
    settings = replace(settings, disabled_checks=tuple({*CHECKS} - ALWAYS))
    check(harmless.document, harmless.image, settings)
    with pytest.raises(CheckErrors, match="xen_server") as caught:
        check(subject.document, subject.image, settings)
    assert {item.check for item in caught.value.problems} == {"description_supported"}
    for name in ALWAYS:
        with pytest.raises(KiwinbError, match=f"{name}, without which kiwinb would make another"):
            check(harmless.document, harmless.image, replace(settings, disabled_checks=(name,)))
    with pytest.raises(KiwinbError, match="image_version_provided"):
        check(
            subject.document,
            subject.image,
            replace(settings, disabled_checks=("image_version_provide",)),
        )


def test_a_prepared_root_tree_needs_no_repositories(tmp_path: Path) -> None:
    case = _repository("mirror:debian", 'imageonly="true"')
    assert problems(case.write(tmp_path), preparing=False) == ()


def test_the_settings_name_checks_to_disable(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('disabled-checks = ["image_version_provided"]\n')
    assert load_settings({}, file=file).disabled_checks == ("image_version_provided",)
    file.write_text("disabled-checks = true\n")
    with pytest.raises(KiwinbError, match="disabled-checks is to be a list"):
        load_settings({}, file=file)


def test_facts_are_gathered_of_the_host_as_far_as_the_image_needs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, said in (
        ("tagmedia", "tagmedia 6.3"),
        ("cryptsetup", "  -c, --cipher=STRING   cipher\n      --key-size=BITS"),
        ("implantisomd5", ""),
    ):
        (tools / name).write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    settings = Settings(store=tmp_path / "store", cache=tmp_path / "cache")
    plain = Case().write(tmp_path).image
    facts = gather(plain, settings)
    assert facts.tools >= {"tagmedia", "cryptsetup", "implantisomd5", "cp", "tar"}
    assert (facts.tagmedia, facts.luks_options, facts.target) == (None, None, None)

    kind = _type('filesystem="ext4" luks="x" mediacheck="true"', LUKS.format("--cipher"), "iso")
    facts = gather(Case(kind).write(tmp_path).image, settings, tmp_path / "a/b")
    assert facts.tagmedia == (6, 3)
    assert facts.luks_options == frozenset({"-c", "--cipher", "--key-size"})
    assert facts.target == tmp_path / "a/b"
    assert facts.target_filesystem == filesystem_of(tmp_path)


@pytest.mark.parametrize("kind", IMAGE_KINDS)
@pytest.mark.parametrize("filesystem", sorted({*FILESYSTEMS} - {"swap", "fat16", "fat32"}))
def test_tools_that_are_needed_are_tools_that_are_known(
    kind: str, filesystem: str, tmp_path: Path
) -> None:
    oem = "<oemconfig><oem-swap>true</oem-swap></oemconfig>"
    more = {
        "oem": f'filesystem="{filesystem}" firmware="efi" bootpartition="true" format="qcow2"',
        "docker": 'derived_from="x"',
        "oci": 'derived_from="x"',
    }
    image = Case(_type(more.get(kind, ""), oem, kind)).write(tmp_path).image
    needed = tools_for(image)
    assert {*needed} <= {*TOOLS}
    assert install_command(needed).startswith("sudo apt-get install ")


def test_the_package_of_the_emulator_is_that_of_the_hosts_distribution(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arch = "s390x" if platform.machine() != "s390x" else "aarch64"
    emulator = emulator_for(arch)
    assert emulator is not None
    monkeypatch.setattr(host_module, "missing_emulator", lambda _arch: emulator)
    monkeypatch.setattr(host_module, "try_architecture", lambda _arch: HostError("it is missing"))
    said = {}
    for distribution in DISTRIBUTIONS.values():
        monkeypatch.setattr(host_module, "find_in_tree", lambda _root, found=distribution: found)
        error = host_module.why_foreign(arch)
        assert error is not None
        said[distribution.name] = error.remedy
    assert said["debian"] == said["ubuntu"] == "Install the package qemu-user-static."
    assert said["redhat"] == f"Install the package qemu-user-static-{emulator.machine.family}."
    assert said["suse"] == "Install the package qemu-linux-user."
