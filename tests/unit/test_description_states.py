"""The state that docs/schema.md gives each element and attribute is what the code does.

What is honoured is changed, one thing at a time, in descriptions that use it: the plan of the
build must change. What is accepted and not yet used is changed likewise, and the plan must not.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path

import pytest
from lxml import etree

from kiwinb.bootloader import BOOTLOADERS
from kiwinb.build.plan import plan_build
from kiwinb.description.document import Document, read
from kiwinb.description.schema.rules import (
    AttributeRule,
    Datatype,
    ElementRule,
    element_rules,
    normal,
)
from kiwinb.description.select import select
from kiwinb.description.sources import EDIT_CONFIG, EDIT_INSTALL, Sources
from kiwinb.errors import KiwinbError
from kiwinb.images import IMAGE_KINDS
from kiwinb.images.container.derived import find_base_container
from kiwinb.images.formats import FORMATS
from kiwinb.images.inputs import BuildInputs
from kiwinb.packages import MANAGERS
from kiwinb.packages.manager import RepositoryState
from kiwinb.packages.mirrors import resolve
from kiwinb.settings import Settings
from kiwinb.steps.keys import Source
from kiwinb.storage.filesystem import FILESYSTEMS

DATA = Path(__file__).parents[1] / "data/descriptions"

HEAD = """
<image schemaversion="8.5" name="test" displayname="Test" id="12">
  <description type="system"><author>A</author><contact>a@example.org</contact>
    <specification>S</specification><license>MIT</license></description>
  <profiles>
    <profile name="main" description="Main" import="true" arch="x86_64">
      <requires profile="more" arch="x86_64"/></profile>
    <profile name="more" description="More"/>
    <profile name="other" description="Other"/>
  </profiles>
  <preferences profiles="main" arch="x86_64">
    <version>1.2.3</version><packagemanager>apt</packagemanager>
    <release-version>12</release-version>
    <rpm-check-signatures>true</rpm-check-signatures><rpm-excludedocs>true</rpm-excludedocs>
    <locale>en_US</locale><keytable>us</keytable><timezone>UTC</timezone>
    {type}
  </preferences>
  <preferences profiles="other" arch="aarch64"><type image="cpio"/></preferences>
  <repository type="apt-deb" profiles="main" arch="x86_64" alias="debian" distribution="bookworm"
      components="main" architectures="amd64" priority="5" username="u" password="p"
      repository_gpgcheck="true" imageinclude="true">
    <source path="http://mirror.example.org/debian"><signing key="1"/></source>
  </repository>
  <packages type="bootstrap" profiles="main"><package name="apt" arch="x86_64"/></packages>
  <packages type="image" profiles="main" patternType="onlyRequired">
    <package name="bash" arch="x86_64"/><ignore name="nano" arch="x86_64"/>
    <namedCollection name="standard" arch="x86_64"/>
    <archive name="a.tar" target_dir="/opt"/>
    <file name="motd" target="/etc/motd" owner="root:root" permissions="644" arch="x86_64"/>
  </packages>
  <packages type="uninstall" profiles="more"><package name="vim"/></packages>
  <packages type="delete" profiles="more"><package name="emacs"/></packages>
  <users profiles="main" arch="x86_64"><user name="u" password="x" pwdformat="encrypted"
      groups="g" home="/home/u" id="1000" realname="U" shell="/bin/sh"/></users>
  <drivers profiles="main"><file name="fs/*" arch="x86_64"/></drivers>
  <strip type="delete" profiles="main"><file name="/usr/share/doc" arch="x86_64"/></strip>
  <certificates target_distribution="debian" profiles="main"><certificate name="ca.pem"/>
  </certificates>
</image>
"""
DISK = """
<type image="oem" primary="true" filesystem="ext4" fscreateoptions="-m 1" fsmountoptions="noatime"
    rootfs_label="R" firmware="{firmware}" bootpartition="true" bootpartsize="100"
    bootfilesystem="ext3" efipartsize="30" {table} devicepersistency="by-uuid"
    kernelcmdline="quiet" initrd_system="dracut" {edit} format="qcow2"
    formatoptions="compat=1.1" spare_part="10M" spare_part_fs="ext4"
    spare_part_mountpoint="/srv" spare_part_fs_attributes="no-copy-on-write"
    bundle_format="%N">
  <bootloader name="grub2" timeout="3" timeout_style="menu" output_console="serial"
      input_console="serial" serial_line="serial --unit=0" video_mode="800x600">
    <bootloadersettings><shimoption name="a" value="b"/><installoption name="a" value="b"/>
      <configoption name="a" value="b"/>
      <environment><env name="a" value="b"/></environment></bootloadersettings>
  </bootloader>
  <size unit="M" additive="false" unpartitioned="5">2000</size>
  <oemconfig><oem-resize>{resize}</oem-resize><oem-resize-once>true</oem-resize-once>
    <oem-systemsize>1000</oem-systemsize><oem-swap>true</oem-swap>
    <oem-swapsize>64</oem-swapsize><oem-swapname>S</oem-swapname>{title}</oemconfig>
  <partitions><partition name="data" size="20M" filesystem="ext4" mountpoint="/data" label="D"
      partition_name="p.data" partition_type="t.linux"/></partitions>
  <initrd action="add"><dracut module="m" driver="d"/></initrd>
</type>
"""
CONTAINER = """
<type image="{image}" primary="true" ensure_empty_tmpdirs="true">
  <containerconfig name="n" tag="t" additionalnames="x:y" maintainer="M" user="u" workingdir="/w">
    <entrypoint execute="/e"><argument name="a"/></entrypoint>
    <subcommand execute="/s"><argument name="a"/></subcommand>
    <labels><label name="l" value="v"/></labels><expose><port number="80"/></expose>
    <environment><env name="e" value="v"/></environment>
    <volumes><volume name="/v"/></volumes><stopsignal>SIGTERM</stopsignal>
    <history author="A" created_by="me">text</history>
  </containerconfig>
</type>
"""
MBR = 'efiparttable="msdos" dosparttable_extended_layout="true"'
EDIT = 'editbootconfig="1"'
TITLE = "<oem-boot-title>Title</oem-boot-title>"
FORCED = 'force_mbr="true" dosparttable_extended_layout="true"'
GPT = 'efiparttable="gpt" eficsm="true"'
TYPES = {
    "efi": DISK.format(firmware="efi", table=GPT, resize="true", edit="", title=TITLE),
    "forced": DISK.format(firmware="efi", table=FORCED, resize="false", edit="", title=""),
    "bios": DISK.format(firmware="bios", table=MBR, resize="true", edit="", title=""),
    "scripts": DISK.format(firmware="efi", table=GPT, resize="true", edit=EDIT, title=""),
    "docker": CONTAINER.format(image="docker"),
    "oci": CONTAINER.format(image="oci"),
    "squashfs": '<type image="squashfs" primary="true" squashfscompression="xz"/>',
    "erofs": '<type image="erofs" primary="true" erofscompression="lz4"/>',
    "tbz": '<type image="tbz" primary="true"/>',
    "unified": """
        <type image="oem" filesystem="ext4" firmware="efi" primary="true">
          <bootloader name="systemd_boot"/><initrd action="setup"><dracut uefi="true"/></initrd>
        </type>
        """,
    "asked": '<type image="tbz" primary="true"/>',
    "cpio": '<type image="wsl"/><type image="cpio" primary="true"/>',
}

ELSEWHERE = {
    "image.schemaversion": "read when the description is upgraded",
    "image.xsi:noNamespaceSchemaLocation": "a hint for editors",
    "image.xsi:schemaLocation": "a hint for editors",
    "include": "resolved when the description is read",
    "include.from": "resolved when the description is read",
    "description.type": "no other value is honoured",
    "contact": "shown by image info",
    "specification": "shown by image info",
    "license": "shown by image info",
    "type.bundle_format": "read by result bundle",
    "profile.description": "shown by image info",
    "repository.type": "kiwinb goes by the package manager",
    "initrd.action": "no other value is honoured",
    "certificates.target_distribution": "no other value is honoured",
    "extension": "for other tools",
}
"""What is honoured, but not by the steps of a build."""

WITHOUT_USE = {
    "bootloader.bls": "the bootloader gets its settings whole",
    "bootloader.grub_template": "the bootloader gets its settings whole",
    "bootloader.use_disk_password": "the bootloader gets its settings whole",
    "bootloader.targettype": "the bootloader gets its settings whole",
    **{
        f"{element}{attribute}": "the bootloader gets its settings whole"
        for element in ("shimoption", "installoption", "configoption")
        for attribute in ("", ".name", ".value")
    },
    "history.application_id": "the container gets its configuration whole",
    "history.launcher": "the container gets its configuration whole",
    "history.package_version": "the container gets its configuration whole",
    "archive.bootinclude": "unpacking gets the archive whole",
}
"""What is part of a step's key without any use that a step makes of it, and why."""

SCRIPTED = ("drivers", "drivers.file", "strip", "strip.file", "type.editbootconfig")
"""What is done by scripts, or by functions that scripts call: they are told of all else, too."""

MOST_VARIANTS = {"honoured": 12, "accepted": 2, "refused": 2}
"""Changes that are tried of one thing; the first with an effect is enough."""
CANDIDATES = (
    *("1", "2", "7", "4096", "9M", "9G", "true", "false", "other", "/other", "Other text"),
    *("other.sh", "en_GB", "de", "Europe/Berlin", "x86_64", "aarch64", "i586", "main", "more"),
    *("http://mirror.example.org/other", "iso:///other", "SIGKILL", "81/udp", "9.8.7"),
    *("compat=0.10", "0x83", "by-label", "0700", "synchronous-updates", "1024x768"),
    *("12345678-1234-1234-1234-123456789abd", "00:11:22:33:44:56", "%N-%v", "1.2.3.4"),
)
"""Texts, some of which every datatype accepts."""


class Files(dict[str, Source]):
    """A description directory that has every file."""

    def __missing__(self, name: str) -> Source:
        return Source(hashlib.sha256(name.encode()).hexdigest(), Path(name))


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Document]:
    directory = tmp_path_factory.mktemp("bases")
    found = {}
    for name, text in TYPES.items():
        place = directory / name.replace(" ", "-")
        place.mkdir()
        for file in CANDIDATES:
            if "/" not in file:
                (place / file).write_text(f"# {file}\n")
        (place / "config.xml").write_text(HEAD.format(type=text))
        found[name] = read(place)
    return found


def _state(document: Document) -> object:
    """All that a build of the document is made of; or why it cannot be built."""
    scripts = ["config.sh"] if document.directory.name == "scripts" else []
    named = {name: Files()[name] for name in scripts}
    profiles = ["main"] if document.directory.name == "asked" else []
    state = RepositoryState((("debian", "0" * 64),), 1_700_000_000, Path("/nowhere"))
    settings = Settings(store=Path("/nowhere"), cache=Path("/nowhere"))
    try:
        image = select(document, profiles=profiles, arch="x86_64")
        for name, said in (
            (EDIT_CONFIG, image.type.editbootconfig),
            (EDIT_INSTALL, image.type.editbootinstall),
        ):
            if said is not None:
                named[name] = Files()[said]
        given = Sources(scripts=named, files=Files())
        repositories = tuple(
            resolve(item, settings, image.directory, image.arch) for item in image.repositories
        )
        base = find_base_container(image)
        plan = plan_build(image, BuildInputs(given, state.epoch, repositories, state, base))
    except KiwinbError as error:
        return str(error)
    return [step.key for step in plan.steps], plan.results, repositories


@cache
def _before(document: Document) -> object:
    return _state(document)


def _walk(
    element: etree._Element, rule: ElementRule
) -> Iterator[tuple[etree._Element, ElementRule]]:
    yield element, rule
    for child in element.iterchildren("*"):
        if (known := rule.children.get(str(child.tag))) is not None:
            yield from _walk(child, element_rules()[known.rule])


def _others(datatype: Datatype, now: str | None) -> list[str]:
    words = [*datatype.values, *CANDIDATES]
    return [word for word in words if datatype.accepts(word) and word != normal(now or "")]


def _changed(document: Document, path: str, attribute: str | None, value: str | None) -> Document:
    """The document with one thing different; removed when the value is ``None``."""
    tree = copy.deepcopy(document.tree)
    found = tree.xpath(path)
    assert isinstance(found, list)
    element = found[0]
    assert isinstance(element, etree._Element)
    if attribute is None and value is None:
        parent = element.getparent()
        assert parent is not None
        parent.remove(element)
    elif attribute is None:
        element.text = value
    elif value is None:
        del element.attrib[attribute]
    else:
        element.set(attribute, value)
    return replace(document, tree=tree)


def _variants(
    document: Document, element: etree._Element, rule: ElementRule, attribute: AttributeRule | None
) -> Iterator[Document]:
    path = document.tree.getpath(element)
    if attribute is None:
        parent = element.getparent()
        if parent is not None:
            yield _changed(document, path, None, None)
        for value in _others(rule.content, element.text) if rule.content else ():
            yield _changed(document, path, None, value)
        return
    now = element.get(attribute.name)
    if now is not None and not attribute.required:
        yield _changed(document, path, attribute.name, None)
    for value in _others(attribute.datatype, now):
        if attribute.datatype.state(value) == "honoured":
            yield _changed(document, path, attribute.name, value)


def _effects(
    bases: Mapping[str, Document], rule: ElementRule, attribute: AttributeRule | None
) -> Iterator[object]:
    """The plans, other than before, that come of changing one thing."""
    part = f"{rule.rule}.{attribute.name}" if attribute else rule.rule
    scripted = rule.rule in SCRIPTED or part in SCRIPTED
    most = MOST_VARIANTS[STATES[part]]
    for name, document in bases.items():
        if (name == "scripts") != scripted:
            continue
        before = _before(document)
        for element, found in _walk(document.tree.getroot(), element_rules()["image"]):
            if found.rule != rule.rule:
                continue
            said = attribute is None or element.get(attribute.name) is not None
            for other in islice(_variants(document, element, rule, attribute), most):
                after = _state(other)
                if after != before and (said or not isinstance(after, str)):
                    yield after


@cache
def _parts() -> tuple[tuple[str, ElementRule, AttributeRule | None], ...]:
    return tuple(
        part
        for rule in element_rules().values()
        for part in (
            (rule.rule, rule, None),
            *((f"{rule.rule}.{item.name}", rule, item) for item in rule.attributes.values()),
        )
    )


def _is_frame(rule: ElementRule, attribute: AttributeRule | None) -> bool:
    """It says nothing itself: its attributes and children do."""
    return attribute is None and rule.content is None and bool(rule.attributes or rule.children)


PARTS = {name: (rule, attribute) for name, rule, attribute in _parts()}
STATES = {name: (attribute or rule).state for name, (rule, attribute) in PARTS.items()}
HONOURED = [
    name
    for name, state in STATES.items()
    if state == "honoured" and name not in ELSEWHERE and not _is_frame(*PARTS[name])
]
ACCEPTED = [name for name, state in STATES.items() if state != "honoured"]


def test_the_descriptions_can_be_planned(bases: Mapping[str, Document]) -> None:
    assert [
        (name, state)
        for name, document in bases.items()
        if isinstance(state := _state(document), str)
    ] == []


@pytest.mark.parametrize("name", HONOURED)
def test_what_is_honoured_changes_the_build(name: str, bases: Mapping[str, Document]) -> None:
    assert next(_effects(bases, *PARTS[name]), None) is not None, f"nothing depends on {name}"


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_not_used_does_not_change_the_build(
    name: str, bases: Mapping[str, Document]
) -> None:
    plans = [item for item in _effects(bases, *PARTS[name]) if not isinstance(item, str)]
    assert bool(plans) == (name in WITHOUT_USE), (
        f"{name} has an effect: say so in kiwinb.rng and write docs/schema.md anew"
    )


@pytest.mark.parametrize(
    ("name", "registry"),
    [
        ("type.image", IMAGE_KINDS),
        ("type.filesystem", {x: y for x, y in FILESYSTEMS.items() if not y.read_only}),
        ("type.bootfilesystem", FILESYSTEMS),
        ("type.spare_part_fs", FILESYSTEMS),
        ("partition.filesystem", FILESYSTEMS),
        ("bootloader.name", BOOTLOADERS),
        ("type.format", FORMATS),
        ("packagemanager", MANAGERS),
    ],
)
def test_values_that_are_honoured_are_those_that_are_registered(
    name: str, registry: Mapping[str, object]
) -> None:
    rule, attribute = PARTS[name]
    datatype = attribute.datatype if attribute else rule.content
    assert datatype is not None
    honoured = {value for value, state in datatype.values.items() if state == "honoured"}
    assert honoured == {value for value in datatype.values if value in registry}, (
        "correct k:state of the values in kiwinb.rng and write docs/schema.md anew"
    )


def test_exceptions_are_not_stale() -> None:
    assert {STATES[name] for name in ELSEWHERE} == {"honoured"}
    assert {STATES[name] for name in WITHOUT_USE} == {"accepted", "refused"}
