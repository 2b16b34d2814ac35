"""A plug-in takes one module and one registration, and then everything of kiwinb knows it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import fake_plugins
import pytest
from descriptions import document
from plugin_registries import REGISTRIES, raise_revision

import kiwinb
from kiwinb import Appliance
from kiwinb.bootloader.configure import BootConfig
from kiwinb.bootloader.kernel import find_kernel
from kiwinb.build.plan import BuildPlan, plan_build
from kiwinb.checks import make_subject, problems
from kiwinb.checks.doctor import examine
from kiwinb.cli import plugins
from kiwinb.description.document import Document
from kiwinb.description.select import select
from kiwinb.description.sources import Sources
from kiwinb.errors import DescriptionError, ImageError
from kiwinb.images.inputs import BuildInputs
from kiwinb.initrd.build import plan_initrd
from kiwinb.packages.manager import RepositoryState, ResolvedRepository
from kiwinb.settings import Settings
from kiwinb.steps.keys import Source
from kiwinb.steps.progress import StepEvent
from kiwinb.steps.registry import Registry, Used
from kiwinb.steps.step import HostPaths, StepContext
from kiwinb.storage.layout import LOADER_STEP
from kiwinb.storage.patches import Patch

HERE = Path(fake_plugins.__file__).parent


@dataclass(frozen=True)
class Fake:
    """A plug-in of ``fake_plugins``.

    Attributes:
        module: The module that registers it.
        name: What it is called.
        type: A ``<type>`` that asks for it.
        other: One that does not.
        manager: The package manager of the description.
        section: Another section of the description that asks for it.
        tool: The tool of the host that it needs.
    """

    module: str
    name: str
    type: str
    other: str = '<type image="cpio"/>'
    manager: str = "apt"
    section: str = ""
    tool: str = ""


_DISK = '<type image="oem" filesystem="{}" firmware="bios" {}><bootloader name="{}"/></type>'
_PLAIN = _DISK.format("ext4", "", "custom")
_TRUSTS = '<certificates target_distribution="fakeos"><certificate name="ca.pem"/></certificates>'

FAKES = {
    "package manager": Fake(
        "manager", "fakepkg", '<type image="cpio"/>', manager="fakepkg", tool="fakepkg-unpack"
    ),
    "distribution": Fake("distribution", "fakeos", '<type image="cpio"/>', section=_TRUSTS),
    "image kind": Fake("image_kind", "fakelist", '<type image="fakelist"/>', tool="fakelist-make"),
    "disk format": Fake(
        *("disk_format", "fakedisk", _DISK.format("ext4", 'format="fakedisk"', "custom"), _PLAIN),
        tool="fakedisk-convert",
    ),
    "file system": Fake(
        "filesystem", "fakefs", _DISK.format("fakefs", "", "custom"), _PLAIN, tool="mkfs.fakefs"
    ),
    "bootloader": Fake("bootloader", "fakeboot", _DISK.format("ext4", "", "fakeboot"), _PLAIN),
    "initrd tool": Fake(
        *("initrd_tool", "fake-initrd", _PLAIN),
        _DISK.format("ext4", 'initrd_system="dracut"', "custom"),
    ),
}
"""By the sort of plug-in."""

Register = Callable[[str], Registry[Any]]


@pytest.fixture
def register() -> Iterator[Register]:
    """Registers the plug-in of a sort, for one test: all it takes is to import its module."""
    done: list[str] = []

    def load(sort: str) -> Registry[Any]:
        assert FAKES[sort].name not in REGISTRIES[sort]
        done.append(sort)
        import_module(f"fake_plugins.{FAKES[sort].module}")
        return REGISTRIES[sort]

    yield load
    for sort in done:
        REGISTRIES[sort].remove(FAKES[sort].name)
        del sys.modules[f"fake_plugins.{FAKES[sort].module}"]


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of tools of the host."""
    directory = tmp_path / "tools"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:/usr/sbin:/usr/bin:/sbin:/bin")
    return directory


def _install(directory: Path, name: str) -> None:
    (directory / name).write_text("#!/bin/sh\n")
    (directory / name).chmod(0o755)


def _document(directory: Path, fake: Fake, type: str | None = None) -> Document:
    preferences = (
        f"<preferences><version>1.0.0</version><packagemanager>{fake.manager}</packagemanager>"
        f"{fake.type if type is None else type}</preferences>"
    )
    section = fake.section if type is None else ""
    return document(directory, section, preferences=preferences)


def _plan(directory: Path, fake: Fake, type: str | None = None) -> BuildPlan:
    image = select(_document(directory, fake, type), arch="x86_64")
    repository = ResolvedRepository("debian", "mirror:debian", ("file:///srv",))
    state = RepositoryState((("debian", "0" * 64),), 1_700_000_000, Path("/srv/lists"))
    sources = Sources(files={"ca.pem": Source("1" * 64, Path("/srv/ca.pem"))})
    return plan_build(image, BuildInputs(sources, state.epoch, (repository,), state))


def _keys(plan: BuildPlan) -> list[str]:
    return [step.key for step in plan.steps]


def test_there_is_one_of_each_sort() -> None:
    assert FAKES.keys() == REGISTRIES.keys()
    modules = {path.stem for path in HERE.glob("*.py")} - {"__init__"}
    assert modules == {fake.module for fake in FAKES.values()}


@pytest.mark.parametrize("sort", FAKES)
def test_it_is_one_module_with_one_registration(sort: str, register: Register) -> None:
    tree = ast.parse((HERE / f"{FAKES[sort].module}.py").read_text())
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [call.attr for call in calls if isinstance(call, ast.Attribute)]
    assert named.count("register") == 1
    before = REGISTRIES[sort].added
    assert register(sort).added == (*before, FAKES[sort].name)
    home = Path(kiwinb.__file__).parent
    texts = (file.read_text(errors="replace") for file in home.rglob("*.*") if file.is_file())
    assert not any(FAKES[sort].name in text for text in texts)


@pytest.mark.parametrize("sort", [sort for sort in FAKES if sort != "initrd tool"])
def test_a_description_may_name_it_once_it_is_registered(
    sort: str, register: Register, tmp_path: Path
) -> None:
    fake = FAKES[sort]
    with pytest.raises(DescriptionError, match=f'"{fake.name}" is not allowed|{fake.name}'):
        _document(tmp_path, fake)
    register(sort)
    _document(tmp_path, fake)


@pytest.mark.parametrize("sort", FAKES)
def test_keys_cover_its_revision(
    sort: str, register: Register, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FAKES[sort]
    plain = replace(fake, manager="apt")
    untouched = _keys(_plan(tmp_path, plain, fake.other))
    registry = register(sort)
    used = _keys(_plan(tmp_path, fake))
    assert used == _keys(_plan(tmp_path, fake)) != untouched
    raise_revision(monkeypatch, registry, fake.name)
    assert _keys(_plan(tmp_path, fake)) != used
    assert _keys(_plan(tmp_path, plain, fake.other)) == untouched


@pytest.mark.parametrize("sort", [sort for sort, fake in FAKES.items() if fake.tool])
def test_checks_and_doctor_ask_for_its_tools(
    sort: str, register: Register, tools: Path, tmp_path: Path
) -> None:
    fake = FAKES[sort]
    register(sort)
    written = _document(tmp_path, fake)
    image = select(written, arch="x86_64")
    settings = Settings(store=tmp_path / "store", cache=tmp_path / "cache")

    def told() -> list[str]:
        found = problems(make_subject(written, image, settings))
        return [str(item) for item in found if item.check == "host_tools_installed"]

    def missing() -> list[str]:
        findings = examine(tmp_path, arch="x86_64", settings=settings).missing
        return [f"{item.what} {item.remedy}" for item in findings if item.area == "tools"]

    assert len(told()) == 1 and f"this host lacks tools: {fake.tool} (for " in told()[0]
    assert f"Install them: the packages that bring {fake.tool}" in told()[0]
    (text,) = missing()
    assert text.startswith(f"{fake.tool} for ")
    assert text.endswith(f"Install the package that brings {fake.tool}.")
    _install(tools, fake.tool)
    assert (told(), missing()) == ([], [])


def test_checks_ask_the_bootloader(register: Register, tmp_path: Path) -> None:
    register("bootloader")
    kind = FAKES["bootloader"].type.replace(
        '<bootloader name="fakeboot"/>',
        '<bootloader name="fakeboot"><bootloadersettings><environment><env name="a" value="b"/>'
        "</environment></bootloadersettings></bootloader>",
    )
    written = _document(tmp_path, FAKES["bootloader"], kind)
    settings = Settings(store=tmp_path / "store", cache=tmp_path / "cache")
    found = problems(make_subject(written, select(written, arch="x86_64"), settings))
    assert "the bootloader fakeboot has no environment" in [item.what for item in found]


def _fake_tree(root: Path) -> Path:
    for name in ("etc/os-release", "boot/fake-kernel-6.1", "usr/lib/modules/6.1/modules.dep"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("ID=fakeos\n")
    return root


class _NoChroot:
    """In place of a chroot, which the fake tool has no use for."""

    def __init__(self, *_given: object, **_options: object) -> None:
        pass

    def __enter__(self) -> _NoChroot:
        return self

    def __exit__(self, *_error: object) -> None:
        pass


def _context(root: Path) -> StepContext:
    host = HostPaths(root)
    return StepContext(root, None, {}, host, lambda line: None, lambda done: None, rootless=False)


def test_a_tree_without_the_initrd_tool_names_its_package(
    register: Register, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kiwinb.initrd.build.Chroot", _NoChroot)
    register("distribution")
    register("initrd tool")
    root = _fake_tree(tmp_path / "tree")
    run = partial(plan_initrd(None, 0).run, _context(root))
    with pytest.raises(ImageError, match="Add the package fake-initrd-tools"):
        run()
    (root / "usr/bin").mkdir()
    (root / "usr/bin/fake-initrd").touch()
    run()
    assert (root / "boot/fake-initrd-6.1").read_text() == "initrd of 6.1 at 0\n"


def test_a_tree_of_the_distribution_is_known(register: Register, tmp_path: Path) -> None:
    root = _fake_tree(tmp_path)
    with pytest.raises(ImageError, match="does not know: fakeos"):
        find_kernel(root, initrd=False)
    register("distribution")
    assert find_kernel(root, initrd=False).version == "6.1"
    (root / "boot/fake-kernel-6.1").unlink()
    with pytest.raises(ImageError, match="for example fake-kernel"):
        find_kernel(root, initrd=False)


@pytest.mark.parametrize("sort", FAKES)
def test_the_documents_list_it(sort: str, register: Register) -> None:
    before = plugins.markdown().splitlines()
    register(sort)
    fresh = [line for line in plugins.markdown().splitlines() if line not in before]
    rows = [line for line in fresh if line.startswith(f"| {FAKES[sort].name} |")]
    assert len(rows) == (2 if sort == "file system" else 1)  # it is an image kind, too


DESCRIPTION = """\
<image schemaversion="8.5" name="fakes">
  <description type="system"><author>A</author><contact>a@example.org</contact>
    <specification>An image that only fake plug-ins make</specification></description>
  <preferences><version>1.0.0</version><packagemanager>fakepkg</packagemanager>
    <type image="oem" filesystem="fakefs" format="fakedisk" firmware="bios"
        formatoptions="a=1,b=2" primary="true">
      <bootloader name="fakeboot"/>
      <oemconfig><oem-resize>false</oem-resize></oemconfig>
    </type>
    <type image="fakelist" volid="FILES"/>
    <type image="fakefs" rootfs_label="SMALL"/>
  </preferences>
  <repository alias="fakes" repository_gpgcheck="false"><source path="this:packages"/></repository>
  <packages type="bootstrap"><package name="first"/></packages>
  <packages type="image"><package name="second"/><package name="third"/></packages>
  <packages type="delete"><package name="second"/></packages>
  <packages type="fakelist"><package name="fourth"/></packages>
</image>
"""


@pytest.fixture
def described(register: Register, tools: Path, tmp_path: Path) -> Path:
    """A description that needs all of the fakes, which are registered."""
    for sort, fake in FAKES.items():
        register(sort)
        if fake.tool:
            _install(tools, fake.tool)
    directory = tmp_path / "description"
    (directory / "root/etc").mkdir(parents=True)
    (directory / "packages").mkdir()
    (directory / "root/etc/motd").write_text("hello\n")
    (directory / "config.xml").write_text(DESCRIPTION)
    return directory


def _appliance(described: Path, kind: str, events: list[StepEvent] | None = None) -> Appliance:
    top = described.parent
    settings = Settings(store=top / "store", cache=top / "cache")
    appliance = Appliance(described, type=kind, arch="x86_64", settings=settings)
    return appliance.observed_by((events if events is not None else []).append)


def _root_partition(disk: Path, place: Path) -> Path:
    """What is in the only partition of a disk."""
    said = subprocess.run(["sfdisk", "--json", disk], capture_output=True, check=True).stdout
    (partition,) = json.loads(said)["partitiontable"]["partitions"]
    start, size = (partition[name] * 512 for name in ("start", "size"))
    place.write_bytes(disk.read_bytes()[start : start + size])
    return place


def _record(appliance: Appliance, root: Path) -> Patch:
    """What the bootloader is to leave for a root file system."""
    (config,) = (s.action for s in appliance.plan.create if isinstance(s.action, BootConfig))
    assert config.target.core is not None
    patch: Patch = sys.modules["fake_plugins.bootloader"].record("root", root, config.target.core)
    return patch


@pytest.mark.needs("sfdisk")
def test_a_disk_of_them_is_built_by_other_processes(described: Path, tmp_path: Path) -> None:
    """The second act of the bootloader is told what the file systems became."""
    appliance = _appliance(described, "oem")
    appliance.build(tmp_path / "out")
    disk = tmp_path / "out/fakes.x86_64-1.0.0.raw"
    raw = disk.read_bytes()
    wrapped = (tmp_path / "out/fakes.x86_64-1.0.0.fake").read_bytes()
    assert wrapped == b"fake disk a=1,b=2\n" + raw
    packages = (tmp_path / "out/fakes.x86_64-1.0.0.packages").read_text()
    assert [line.split("|")[0] for line in packages.splitlines()] == ["first", "third"]
    root = _root_partition(disk, tmp_path / "root.img")
    assert root.read_bytes().startswith(b"FAKEFS\n")
    for text in (
        b"hello\n",
        b"initrd of 6.1 at 1700000000\n",
        b"fake-kernel-6.1\nfake-initrd-6.1\n",
    ):
        assert text in root.read_bytes()
    patch = _record(appliance, root)
    assert raw[patch.offset :].startswith(patch.data)

    (described / "root/etc/motd").write_text("hello again\n")
    events: list[StepEvent] = []
    appliance = _appliance(described, "oem", events)
    appliance.build(tmp_path / "again")
    disk = tmp_path / "again/fakes.x86_64-1.0.0.raw"
    other = _record(appliance, _root_partition(disk, tmp_path / "other.img"))
    assert other.data != patch.data and other.offset != patch.offset
    assert disk.read_bytes()[other.offset :].startswith(other.data)
    ended = [event.step.name for event in events if event.state == "done"]
    acts = ["boot-config", "filesystem-root", LOADER_STEP, "disk"]
    assert list(dict.fromkeys(name for name in ended if name in acts)) == acts


def test_equal_inputs_give_equal_disks(described: Path, tmp_path: Path) -> None:
    made = []
    for number in range(2):
        _appliance(described, "oem").build(tmp_path / f"out{number}")
        made.append((tmp_path / f"out{number}/fakes.x86_64-1.0.0.raw").read_bytes())
        (tmp_path / "store").rename(tmp_path / f"store{number}")
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("kind", "result", "start"),
    [
        ("fakelist", "list", b"# FILES\nboot/fake-kernel-6.1\netc/"),
        ("fakefs", "fakefs", b"FAKEFS\n"),  # a file system brings its image kind along
    ],
)
def test_images_of_them_are_built_by_other_processes(
    described: Path, tmp_path: Path, kind: str, result: str, start: bytes
) -> None:
    _appliance(described, kind).build(tmp_path / "out")
    assert (tmp_path / f"out/fakes.x86_64-1.0.0.{result}").read_bytes().startswith(start)


def test_one_of_a_notebook_is_explained() -> None:
    registry = REGISTRIES["file system"]
    with pytest.raises(ImageError, match="does not know the file system x, which __main__") as told:
        registry.get_used(Used("x", 1, "__main__"))
    assert "not a cell of a notebook" in str(told.value)
    with pytest.raises(ImageError, match="which nowhere registers"):
        registry.get_used(Used("x", 1, "nowhere"))


def test_a_name_is_taken_once(register: Register) -> None:
    for sort, fake in FAKES.items():
        registry = register(sort)
        with pytest.raises(ValueError, match=f"there is a {sort} {fake.name} already"):
            registry.register(registry[fake.name])
