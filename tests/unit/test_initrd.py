"""Initrds: which tool of a tree makes them, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kiwinb.distributions import DISTRIBUTIONS
from kiwinb.errors import ImageError
from kiwinb.initrd import INITRD_TOOLS
from kiwinb.initrd import build as build_module
from kiwinb.initrd.build import plan_initrd
from kiwinb.steps.registry import Used
from kiwinb.steps.step import DraftStep, HostPaths, StepContext, seal

EPOCH = 1_700_000_000
TOOLS = {"dracut": "usr/bin/dracut", "initramfs-tools": "usr/sbin/update-initramfs"}


@dataclass
class Chroot:
    """Takes down what would be run in a tree."""

    commands: list[Sequence[str]] = field(default_factory=list)
    times: set[str] = field(default_factory=set)

    def __call__(self, _root: Path, **_options: Any) -> Chroot:
        return self

    def __enter__(self) -> Chroot:
        return self

    def __exit__(self, *_error: object) -> None:
        return None

    def run(self, argv: Sequence[str], *, env: Mapping[str, str]) -> str:
        self.commands.append(argv)
        self.times.add(env["SOURCE_DATE_EPOCH"])
        return ""


@pytest.fixture
def chroot(monkeypatch: pytest.MonkeyPatch) -> Chroot:
    """Commands are taken down, not run."""
    made = Chroot()
    monkeypatch.setattr(build_module, "Chroot", made)
    return made


def _tree(root: Path, *tools: str, id: str = "debian", kernel: str = "vmlinuz-6.1") -> StepContext:
    files = {"etc/os-release": f"ID={id}\n", f"boot/{kernel}": "", "usr/lib/modules/6.1/x": ""}
    files |= {"usr/lib/modules/6.0/without-kernel": "", "usr/bin/ldd": ""}
    for name, text in {**files, **{TOOLS[tool]: "" for tool in tools}}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return StepContext(
        root, None, {}, HostPaths(root), lambda line: None, lambda fraction: None, rootless=False
    )


@pytest.mark.parametrize(
    ("system", "there", "made_by"),
    [
        (None, ("dracut", "initramfs-tools"), "dracut"),
        (None, ("initramfs-tools",), "update-initramfs"),
        ("dracut", ("dracut", "initramfs-tools"), "dracut"),
        ("kiwi", ("dracut", "initramfs-tools"), "dracut"),
        ("kiwi", ("initramfs-tools",), "update-initramfs"),
        ("none", ("dracut", "initramfs-tools"), None),
    ],
)
@pytest.mark.proves("initrd tool", "dracut initramfs-tools")
@pytest.mark.proves("image kind", "oem", "initrd_system")
def test_which_tool_makes_it(
    system: str | None, there: tuple[str, ...], made_by: str | None, tmp_path: Path, chroot: Chroot
) -> None:
    plan_initrd(system, EPOCH).run(_tree(tmp_path, *there))
    assert [command[0] for command in chroot.commands] == ([made_by] if made_by else [])
    assert chroot.times == ({str(EPOCH)} if made_by else set())


@pytest.mark.parametrize(
    ("system", "id", "there", "package"),
    [
        (None, "debian", (), "initramfs-tools"),
        ("dracut", "debian", ("initramfs-tools",), "dracut"),
        ("kiwi", "arch", (), "dracut"),
    ],
)
def test_no_tool(
    system: str | None,
    id: str,
    there: tuple[str, ...],
    package: str,
    tmp_path: Path,
    chroot: Chroot,
) -> None:
    with pytest.raises(ImageError, match=r"kernel 6\.1 but no tool") as caught:
        plan_initrd(system, EPOCH).run(_tree(tmp_path, *there, id=id))
    assert str(caught.value).endswith(f"Add the package {package}.")
    assert chroot.commands == []


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.proves("distribution", "*")
def test_the_distribution_names_kernel_and_initrd(
    name: str, tmp_path: Path, chroot: Chroot
) -> None:
    distribution = DISTRIBUTIONS[name]
    for form in distribution.kernels:
        kernel = form.format("6.1")
        assert distribution.kernel_version(kernel) == "6.1"
        context = _tree(tmp_path / kernel, "dracut", id=distribution.ids[0], kernel=kernel)
        plan_initrd(None, EPOCH).run(context)
        assert f"/boot/{distribution.initrds[0].format('6.1')}" in chroot.commands[-1]
    assert distribution.kernel_version("config-6.1") is None
    assert distribution.kernel_version(distribution.kernels[0].format("")) is None


@pytest.mark.proves("initrd tool", "dracut")
def test_dracut_without_ldd(tmp_path: Path, chroot: Chroot) -> None:
    """It would make an initrd without libraries, and say that all is well."""
    context = _tree(tmp_path, "dracut")
    (tmp_path / "usr/bin/ldd").unlink()
    with pytest.raises(ImageError, match="with ldd, which the root tree does not have"):
        plan_initrd(None, EPOCH).run(context)
    assert chroot.commands == []


def test_a_tree_of_an_unknown_distribution(tmp_path: Path, chroot: Chroot) -> None:
    with pytest.raises(ImageError, match="does not know: plan9"):
        plan_initrd(None, EPOCH).run(_tree(tmp_path, "dracut", id="plan9"))


def test_a_tree_without_kernels(tmp_path: Path, chroot: Chroot) -> None:
    context = _tree(tmp_path)
    (tmp_path / "boot/vmlinuz-6.1").unlink()
    plan_initrd(None, EPOCH).run(context)
    assert chroot.commands == []


@pytest.mark.proves("initrd tool", "initramfs-tools")
def test_only_tools_that_may_make_it_are_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(system: str | None) -> str:
        return seal((DraftStep("initrd", "", plan_initrd(system, EPOCH)),))[0].key

    before = {system: key(system) for system in (None, "dracut", "kiwi", "none")}
    assert len(set(before.values())) == 3  # kiwi's is made like that of no system at all
    tool = INITRD_TOOLS["initramfs-tools"]
    monkeypatch.setattr(type(tool), "revision", tool.revision + 1)
    changed = {system for system in before if key(system) != before[system]}
    assert changed == {None, "kiwi"}


@pytest.mark.parametrize("name", INITRD_TOOLS)
def test_tools_describe_themselves(name: str) -> None:
    tool = INITRD_TOOLS[name]
    assert tool.systems <= {None, "dracut", "kiwi", "none"}
    assert INITRD_TOOLS.get_used(Used(name, tool.revision)) is tool
    assert all(tool.package(distribution) for distribution in DISTRIBUTIONS.values())
