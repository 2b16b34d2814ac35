"""Kernels of a tree: where the packages of distributions put them, and what they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kiwinb.bootloader.kernel import Kernel, find_kernel, keep_in_boot
from kiwinb.distributions import find_in_tree
from kiwinb.distributions.kernels import TreeKernel, find_kernels
from kiwinb.initrd import build as build_module
from kiwinb.initrd.build import plan_initrd
from kiwinb.steps.step import HostPaths, StepContext

V = "6.12.1-1"
MODULES = f"usr/lib/modules/{V}"


def _tree(root: Path, id: str, *files: str, pkgbase: str = "") -> Path:
    texts = {"etc/os-release": f"ID={id}\n", **{file: file for file in files}}
    if pkgbase:
        texts[f"{MODULES}/pkgbase"] = pkgbase
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def _kernels(root: Path) -> tuple[TreeKernel, ...]:
    return find_kernels(root, find_in_tree(root))


@pytest.mark.parametrize(
    ("id", "files", "pkgbase", "kernel"),
    [
        ("fedora", (f"boot/vmlinuz-{V}",), "", TreeKernel(V, V, f"vmlinuz-{V}")),
        ("fedora", (), "", TreeKernel(V, V, f"vmlinuz-{V}", source=f"/{MODULES}/vmlinuz")),
        (
            "fedora",
            (f"boot/vmlinuz-{V}", "boot/vmlinuz-0-rescue-a1"),
            "",
            TreeKernel(V, V, f"vmlinuz-{V}"),
        ),
        (
            "opensuse-leap",
            (f"boot/vmlinuz-{V}", f"boot/vmlinux-{V}.gz", "boot/vmlinuz"),
            "",
            TreeKernel(V, V, f"vmlinuz-{V}"),
        ),
        ("arch", ("boot/vmlinuz-linux",), "linux\n", TreeKernel(V, "linux", "vmlinuz-linux")),
        ("arch", (f"boot/vmlinuz-{V}",), "linux\n", TreeKernel(V, V, f"vmlinuz-{V}")),
        (
            "arch",
            (),
            "linux-lts\n",
            TreeKernel(V, "linux-lts", "vmlinuz-linux-lts", source=f"/{MODULES}/vmlinuz"),
        ),
        ("arch", (f"boot/vmlinuz-{V}",), "../../etc\n", TreeKernel(V, V, f"vmlinuz-{V}")),
    ],
)
@pytest.mark.proves("distribution", "redhat suse archlinux")
def test_where_kernels_are(
    tmp_path: Path, id: str, files: tuple[str, ...], pkgbase: str, kernel: TreeKernel
) -> None:
    root = _tree(tmp_path, id, f"{MODULES}/vmlinuz", *files, pkgbase=pkgbase)
    assert _kernels(root) == (kernel,)


def test_kernels_without_modules(tmp_path: Path) -> None:
    root = _tree(tmp_path, "debian", f"boot/vmlinuz-{V}", "boot/config-1")
    assert _kernels(root) == (TreeKernel(V, V, f"vmlinuz-{V}", modules=False),)
    (root / "usr/lib/modules/6.0").mkdir(parents=True)  # of a kernel that is gone
    assert [kernel.version for kernel in _kernels(root)] == [V]


class _Chroot:
    commands: list[list[str]]

    def __init__(self, *_given: object, **_options: object) -> None:
        pass

    def __enter__(self) -> _Chroot:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def run(self, argv: list[str], **_options: Any) -> str:
        self.commands.append(argv)
        return ""


@pytest.mark.parametrize(
    ("id", "pkgbase", "kernel", "initrd"),
    [
        ("fedora", "", f"vmlinuz-{V}", f"initramfs-{V}.img"),
        ("opensuse-tumbleweed", "", f"vmlinuz-{V}", f"initrd-{V}"),
        ("arch", "linux\n", "vmlinuz-linux", "initramfs-linux.img"),
    ],
)
@pytest.mark.proves("distribution", "redhat suse archlinux")
@pytest.mark.proves("initrd tool", "dracut")
def test_a_kernel_that_no_package_puts_in_boot(
    id: str,
    pkgbase: str,
    kernel: str,
    initrd: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(build_module, "Chroot", _Chroot)
    _Chroot.commands = []
    tools = ("usr/bin/dracut", "usr/bin/ldd")
    root = _tree(tmp_path, id, f"{MODULES}/vmlinuz", *tools, pkgbase=pkgbase)
    context = StepContext(
        root, None, {}, HostPaths(root), lambda line: None, lambda done: None, rootless=False
    )
    plan_initrd("none", 0).run(context)
    assert (root / "boot" / kernel).read_text() == f"{MODULES}/vmlinuz"
    assert _Chroot.commands == []
    plan_initrd(None, 0).run(context)
    assert [command[-2:] for command in _Chroot.commands] == [[f"/boot/{initrd}", V]]
    (root / "boot" / initrd).touch()
    assert find_kernel(root, initrd=True) == Kernel(V, kernel, initrd)


def test_a_link_to_a_kernel_elsewhere_becomes_a_copy(tmp_path: Path) -> None:
    root = _tree(tmp_path, "opensuse-leap", f"{MODULES}/vmlinuz")
    (root / "boot").mkdir()
    link = root / f"boot/vmlinuz-{V}"
    link.symlink_to(f"../{MODULES}/vmlinuz")
    keep_in_boot(root, find_kernel(root, initrd=False))
    assert not link.is_symlink() and link.read_text() == f"{MODULES}/vmlinuz"
    link.rename(root / "boot/own")
    link.symlink_to("own")
    keep_in_boot(root, find_kernel(root, initrd=False))
    assert link.is_symlink()
