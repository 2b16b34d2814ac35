"""What image kinds, disk formats, file systems and bootloaders promise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import pytest
from descriptions import document
from odd_tree import make_tree, run_action

from kiwinb.bootloader import BOOTLOADERS
from kiwinb.bootloader.configure import BootConfig
from kiwinb.description.schema.rules import Datatype, element_rules
from kiwinb.description.select import select
from kiwinb.description.sources import EDIT_CONFIG, EDIT_INSTALL, Sources
from kiwinb.errors import KiwinbError
from kiwinb.images import IMAGE_KINDS, oem
from kiwinb.images.formats import FORMATS
from kiwinb.images.inputs import BuildInputs
from kiwinb.images.kind import ImagePlan
from kiwinb.prepare.cleanup import CleanUp
from kiwinb.sandbox.tools import TOOLS
from kiwinb.sizes import MIB
from kiwinb.steps.keys import Source
from kiwinb.steps.registry import Registry
from kiwinb.steps.step import DraftStep, Output, StepContext, digest_fields, seal
from kiwinb.storage.assemble import AssembleDisk
from kiwinb.storage.disk import DiskLayout
from kiwinb.storage.filesystem import FILESYSTEMS
from kiwinb.storage.filesystem.spec import Growth
from kiwinb.storage.fill import image_file
from kiwinb.storage.fstab import crypttab, fstab
from kiwinb.storage.layout import lay_out
from kiwinb.storage.node import Node, Site

EPOCH = 1_700_000_000
DISK = """<type image="oem" filesystem="ext4" {attributes}>
  <bootloader name="grub2" timeout="3"/>
  <size unit="M">4000</size>
  <oemconfig><oem-resize>false</oem-resize><oem-systemsize>900</oem-systemsize>
    <oem-swap>true</oem-swap></oemconfig>
  <partitions><partition name="data" size="20M" filesystem="squashfs" mountpoint="/data"/>
  </partitions></type>"""
BASES: dict[str, tuple[str, ...]] = {
    "oem": (
        DISK.format(
            attributes='firmware="efi" efiparttable="gpt" bootpartition="true" format="qcow2" '
            'spare_part="10M" spare_part_fs="ext4" rootfs_label="R"'
        ),
        DISK.format(attributes='firmware="bios" bootpartition="true" disk_start_sector="4096"'),
        DISK.format(
            attributes='firmware="bios" bootpartition="true" dosparttable_extended_layout="true"'
            ' spare_part="10M"'
        ),
        '<type image="oem" filesystem="ext4" firmware="efi"/>',
    ),
}
CANDIDATES = (
    *("1", "2", "7", "4096", "9M", "true", "false", "other", "/other", "other.sh", "lz4", "xz"),
    *("compat=0.10", "by-label", "0700", "Other text", "secret", "1000", "serial"),
)


def _plan(directory: Path, kind: str) -> ImagePlan:
    preferences = (
        "<preferences><version>1.0.0</version><packagemanager>apt</packagemanager>"
        f"{kind}</preferences>"
    )
    image = select(document(directory, preferences=preferences), arch="x86_64")
    asked = (
        (EDIT_CONFIG, image.type.editbootconfig),
        (EDIT_INSTALL, image.type.editbootinstall),
    )
    scripts = {name: Source("0" * 64, Path(given)) for name, given in asked if given}
    inputs = BuildInputs(Sources(scripts=scripts), EPOCH)
    return IMAGE_KINDS[image.type.image].plan(image, inputs, "tree")


def _state(directory: Path, kind: str) -> object:
    """All that the steps of an image are made of; ``None`` when it cannot be."""
    for name in CANDIDATES:
        if "/" not in name:
            (directory / name).write_text("")
    try:
        plan = _plan(directory, kind)
    except KiwinbError:
        return None
    return [(s.name, digest_fields(s.action)) for s in plan.steps], plan.results


def _with(text: str, attribute: str, value: str) -> str:
    if re.search(rf'\s{attribute}="[^"]*"', text):
        return re.sub(rf'(\s{attribute})="[^"]*"', rf'\1="{value}"', text, count=1)
    return text.replace("<type ", f'<type {attribute}="{value}" ', 1)


def _values(datatype: Datatype) -> list[str]:
    return [word for word in (*datatype.values, *CANDIDATES) if datatype.accepts(word)]


def _effects(directory: Path, kind: str, attribute: str) -> Iterator[str]:
    """The values of an attribute that change what is made."""
    rule = element_rules()["type"].attributes[attribute]
    for base in BASES.get(kind, (f'<type image="{kind}" />',)):
        before = _state(directory, base)
        assert before is not None
        honoured = attribute in IMAGE_KINDS[kind].honours
        most = 12 if honoured else 3
        for value in islice(_values(rule.datatype), most):
            after = _state(directory, _with(base, attribute, value))
            if after != before and (honoured or after is not None):
                yield f"{attribute}={value}"


ATTRIBUTES = sorted(element_rules()["type"].attributes.keys() - {"image"})
"""All attributes of ``<type>`` but the kind itself."""


@pytest.mark.parametrize("kind", IMAGE_KINDS)
@pytest.mark.proves("image kind", "*", "*")
@pytest.mark.proves("file system", "*", "*")
def test_what_a_kind_honours_changes_a_key_and_nothing_else_does(kind: str, tmp_path: Path) -> None:
    honoured = IMAGE_KINDS[kind].honours
    known = element_rules()["type"]
    assert not honoured - known.attributes.keys() - known.children.keys()
    effects = {name: next(_effects(tmp_path, kind, name), None) for name in ATTRIBUTES}
    assert {name for name, effect in effects.items() if effect} == honoured & {*ATTRIBUTES}


def _honoured(directory: Path, registry: Registry[Any], name: str) -> set[str]:
    """What a disk format or bootloader honours, as far as it changes a key."""
    format = f'format="{name}"' if registry is FORMATS else ""
    loader = name if registry is BOOTLOADERS else "custom"
    firmware = "bios" if BOOTLOADERS[loader].boots_bios else "efi"
    base = f'<type image="oem" filesystem="ext4" firmware="{firmware}" {format}>{{}}</type>'
    plain = _state(directory, base.format(f'<bootloader name="{loader}"/>'))
    assert plain is not None
    element, found = element_rules()["type" if format else "bootloader"], set()
    for part in registry[name].honours:
        rule = element.attributes.get(part)
        for value in _values(rule.datatype) if rule else [""]:
            said = f'{part}="{value}"' if rule else ""
            inside = "" if rule else f"<{part}>{SETTINGS[part]}</{part}>"
            text = base.format(f'<bootloader name="{loader}" {said}>{inside}</bootloader>')
            if format:
                text = _with(base.format('<bootloader name="custom"/>'), part, value)
            if _state(directory, text) not in (plain, None):
                found.add(part)
    return found


SETTINGS = {
    "bootloadersettings": '<environment><env name="a" value="b"/></environment>',
}
"""What is in the children of ``<bootloader>`` that bootloaders honour."""


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.proves("disk format", "*", "*")
def test_what_a_format_honours_changes_a_key(name: str, tmp_path: Path) -> None:
    assert _honoured(tmp_path, FORMATS, name) == FORMATS[name].honours


@pytest.mark.parametrize("name", BOOTLOADERS)
@pytest.mark.proves("bootloader", "*", "*")
def test_what_a_bootloader_honours_changes_a_key(name: str, tmp_path: Path) -> None:
    assert _honoured(tmp_path, BOOTLOADERS, name) == BOOTLOADERS[name].honours


def _keys(directory: Path, kind: str) -> list[str]:
    """The keys of the steps of an image."""
    before = (DraftStep("tree", "", CleanUp(EPOCH)),)
    used = IMAGE_KINDS.use(re.findall(r'image="(\w+)"', kind)[0])
    steps = (replace(step, made_by=used) for step in _plan(directory, kind).steps)
    return [step.key for step in seal((*before, *steps))]


DISK_OF = '<type image="oem" filesystem="{}" firmware="efi" {}><bootloader name="{}"/></type>'


@pytest.mark.parametrize(
    ("registry", "name", "with_it", "without"),
    [
        (
            FILESYSTEMS,
            "xfs",
            DISK_OF.format("xfs", "", "grub2"),
            DISK_OF.format("ext4", "", "grub2"),
        ),
        (FILESYSTEMS, "xfs", '<type image="xfs"/>', '<type image="btrfs"/>'),
        (
            BOOTLOADERS,
            "systemd_boot",
            DISK_OF.format("xfs", "", "systemd_boot"),
            DISK_OF.format("xfs", "", "grub2"),
        ),
        (
            FORMATS,
            "vmdk",
            DISK_OF.format("xfs", 'format="vmdk"', "grub2"),
            DISK_OF.format("xfs", 'format="qcow2"', "grub2"),
        ),
        (IMAGE_KINDS, "tbz", '<type image="tbz"/>', '<type image="cpio"/>'),
    ],
)
def test_a_revision_is_in_the_keys_of_what_uses_the_plugin_and_of_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    registry: Registry[Any],
    name: str,
    with_it: str,
    without: str,
) -> None:
    used, others = _keys(tmp_path, with_it), _keys(tmp_path, without)
    plugin = registry[name]
    monkeypatch.setitem(registry._plugins, name, replace(plugin, revision=plugin.revision + 1))
    assert _keys(tmp_path, with_it) != used
    assert _keys(tmp_path, without) == others


@pytest.mark.parametrize("kind", IMAGE_KINDS)
@pytest.mark.proves("image kind", "*")
def test_tools_are_ones_whose_package_is_known(kind: str, tmp_path: Path) -> None:
    for base in BASES.get(kind, (f'<type image="{kind}"/>',)):
        preferences = (
            "<preferences><version>1.0.0</version><packagemanager>apt</packagemanager>"
            f"{base}</preferences>"
        )
        image = select(document(tmp_path, preferences=preferences), arch="x86_64")
        assert not IMAGE_KINDS[kind].tools(image).keys() - TOOLS.keys()
        assert not list(IMAGE_KINDS[kind].refusals(image))


@dataclass(frozen=True)
class PutBehind:
    """Put a header of 1 MiB in front of an image."""

    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 1

    step: str
    source: str
    target: str

    def run(self, context: StepContext) -> None:
        image = (context.inputs[self.step] / self.source).read_bytes()
        header = self.target.encode().ljust(MIB, b"-")
        (context.output() / self.target).write_bytes(header + image)


@dataclass(frozen=True)
class Wrapper:
    """A node that has a header before what it holds, as encryption has."""

    key: str
    child: Node
    loader_modules: tuple[str, ...] = ("wrapper",)

    @property
    def step(self) -> str:
        return f"wrap-{self.key}"

    @property
    def growth(self) -> Growth:
        return Growth("wrapgrow", "wrapper", f"wrapgrow {self.key}")

    def plan(self, site: Site) -> tuple[DraftStep, ...]:
        size = None if site.size is None else site.size - MIB
        inner = self.child.plan(replace(site, size=size))
        source = image_file(self.child.key)
        action = PutBehind(self.child.step, source, image_file(self.key))
        return (*inner, DraftStep(self.step, "Wrap", action, needs=(self.child.step,)))

    def crypttab(self) -> tuple[str, ...]:
        return (f"{self.key} device",)

    def kernel_words(self) -> tuple[str, ...]:
        return (f"open={self.key}",)


def _wrapped(layout: DiskLayout) -> DiskLayout:
    """The disk with its root file system two levels deeper."""
    partitions = []
    for partition in layout.partitions:
        if partition.role == "root":
            assert partition.content is not None
            inner = Wrapper("inner", partition.content)
            partition = replace(partition, content=Wrapper("outer", inner))
        partitions.append(partition)
    return replace(layout, partitions=tuple(partitions))


@pytest.mark.proves("image kind", "oem", "filesystem")
def test_a_root_file_system_may_be_at_any_depth(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(oem, "lay_out", lambda image, **more: _wrapped(lay_out(image, **more)))
    text = '<type image="oem" filesystem="ext2" firmware="bios" devicepersistency="by-partuuid"/>'
    plan = _plan(tmp_path, text)
    names = [step.name for step in plan.steps]
    order = ["boot-config", "filesystem-root", "wrap-inner", "wrap-outer", "disk"]
    assert [name for name in names if name in order] == order
    actions = {step.name: step.action for step in plan.steps}
    config = actions["boot-config"]
    assert isinstance(config, BootConfig)
    spec = config.layout.root.filesystem
    assert spec is not None
    options = config.target.kernel_options.split()
    assert {f"root=UUID={spec.uuid}", "open=outer", "open=inner"} <= {*options}
    assert fstab(config.layout, "by-partuuid").startswith(f"UUID={spec.uuid} / ext2 ")
    assert crypttab(config.layout) == "outer device\ninner device\n"
    assert {"wrapper", "ext2"} <= {*config.target.boot.modules}
    commands = [growth.command for growth in config.resize.growths if growth]
    assert commands == ["wrapgrow outer", "wrapgrow inner", 'resize2fs "$device"']

    tree = make_tree(tmp_path / "tree")
    made: dict[str, Path] = {}
    for name in order[1:-1]:
        inputs = {step.replace("-", "_"): place for step, place in made.items()}
        made[name] = run_action(actions[name], tree, tmp_path / name, **inputs)
    disk = actions["disk"]
    assert isinstance(disk, AssembleDisk)
    run_action(replace(disk, patches=None), tree, tmp_path / "disk", wrap_outer=made["wrap-outer"])
    with (tmp_path / "disk" / disk.filename).open("rb") as file:
        file.seek(config.layout.start * 512)
        assert file.read(5) == b"outer"
        file.seek(config.layout.start * 512 + MIB)
        assert file.read(5) == b"inner"
        file.seek(config.layout.start * 512 + 2 * MIB + 1024 + 0x38)
        assert file.read(2) == b"\x53\xef", "the magic number of ext2"
