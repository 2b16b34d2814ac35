"""Kernel modules and firmware, with the real depmod and modinfo."""

from __future__ import annotations

import pytest
from shell_tree import Tree, kernel_module

RELEASE = "6.1.0-test"
MODULES = f"/lib/modules/{RELEASE}"
FILES: dict[str, dict[str, str | list[str]]] = {
    "kernel/drivers/net/eth.ko": {"depends": "mii", "firmware": ["vendor/eth.bin", "eth-*.fw"]},
    "kernel/drivers/net/mii.ko": {},
    "kernel/drivers/ata/disk.ko": {},
    "kernel/fs/other.ko": {"firmware": "other.bin"},
    "kernel/fs/ext4/ext4.ko": {},
}
FIRMWARE = (
    "vendor/eth.bin.xz",
    "eth-1.fw",
    "other.bin",
    "LICENSE.other",
    "unused/x.bin",
    f"{RELEASE}/vendor/eth.bin",
    "builtin.ucode",
)


@pytest.fixture
def kernel(tree: Tree) -> Tree:
    for name, facts in FILES.items():
        tree.write(f"{MODULES}/{name}", kernel_module(name=name, license="GPL", **facts))
    tree.write(
        f"{MODULES}/modules.builtin.modinfo", b"core.author=me\0core.firmware=builtin.ucode\0"
    )
    for name in FIRMWARE:
        tree.write(f"/lib/firmware/{name}", name)
    (tree.root / "usr/lib/firmware/unused/target").write_text("x")
    (tree.root / "usr/lib/firmware/eth-2.fw").symlink_to("unused/target")
    tree.sh(f"depmod {RELEASE}")
    # What depmod finds out from symbols, which these modules do not have.
    text = tree.read(f"{MODULES}/modules.dep")
    eth = "kernel/drivers/net/eth.ko:"
    assert eth in text
    tree.write(f"{MODULES}/modules.dep", text.replace(eth, f"{eth} kernel/drivers/net/mii.ko"))
    return tree


def modules(tree: Tree) -> set[str]:
    return {name for name in tree.files(MODULES) if name.endswith(".ko")}


def test_kernel_is_stripped_to_its_drivers(kernel: Tree) -> None:
    (kernel.root / "usr/share/games").mkdir(parents=True)
    kernel.write("/usr/share/games/x")
    kernel.write("/var/log/a.log")
    kernel.sh(
        "baseStripKernel",
        kiwi_drivers="drivers/net/eth.ko,fs/ext4/*",
        kiwi_strip_delete="usr/share/games /var/log/*.log / /proc/* nowhere ../../dev",
    )
    assert modules(kernel) == {
        "kernel/drivers/net/eth.ko",
        "kernel/drivers/net/mii.ko",
        "kernel/fs/ext4/ext4.ko",
    }
    assert kernel.files("/lib/firmware") == {
        "vendor/eth.bin.xz",
        f"{RELEASE}/vendor/eth.bin",
        "eth-1.fw",
        "eth-2.fw",
        "unused/target",
        "builtin.ucode",
        "LICENSE.other",
    }
    assert "other.ko" not in kernel.read(f"{MODULES}/modules.dep")
    assert not kernel.has("/kernel-tree")
    assert not kernel.has("/usr/share/games")
    assert not kernel.files("/var/log")


def test_one_after_the_other(kernel: Tree) -> None:
    kernel.sh("baseCreateKernelTree")
    assert kernel.has(f"/kernel-tree/{RELEASE}/kernel/fs/other.ko")
    kernel.sh("baseStripKernelModules", kiwi_drivers="eth")
    assert kernel.files(f"/kernel-tree/{RELEASE}/kernel") == {"drivers/net/eth.ko"}
    assert len(modules(kernel)) == len(FILES)
    kernel.sh("baseFixupKernelModuleDependencies")
    assert kernel.has(f"/kernel-tree/{RELEASE}/kernel/drivers/net/mii.ko")
    kernel.sh("baseSyncKernelTree")
    assert modules(kernel) == {"kernel/drivers/net/eth.ko", "kernel/drivers/net/mii.ko"}
    assert kernel.sh("baseSyncKernelTree")[0].endswith("stays as it is")
    assert len(modules(kernel)) == 2


def test_all_modules_stay_where_no_drivers_are_named(kernel: Tree) -> None:
    kernel.sh("suseStripKernel")
    assert modules(kernel) == set(FILES)


def test_dracut_does_it_itself(kernel: Tree) -> None:
    kernel.sh("baseStripKernel", kiwi_initrd_system="dracut", kiwi_drivers="eth")
    assert modules(kernel) == set(FILES)


def test_firmware_without_a_kernel_stays(tree: Tree) -> None:
    tree.write("/lib/firmware/a.bin")
    assert "all is kept" in tree.sh("baseStripFirmware")[0]
    assert tree.files("/lib/firmware") == {"a.bin"}


@pytest.mark.parametrize(
    ("drivers", "matches"),
    [
        ("eth", True),
        ("drivers/net/*", True),
        ("x, eth.ko", True),
        ("net/e.h", True),
        ("*/eth.ko", True),
        ("[", False),
        ("ata", False),
        ("", False),
    ],
)
def test_patterns_of_drivers(tree: Tree, drivers: str, matches: bool) -> None:
    path = f"/kernel-tree/{RELEASE}/kernel/drivers/net/eth.ko.xz"
    text = f"if baseKernelDriverMatches {path}; then echo yes; else echo no; fi"
    assert tree.sh(text, kiwi_drivers=drivers) == ["yes" if matches else "no"]


def test_updates_replace_modules(kernel: Tree) -> None:
    kernel.write(f"{MODULES}/updates/dkms/mii.ko.xz")
    kernel.sh("baseStripModules")
    assert modules(kernel) == set(FILES) - {"kernel/drivers/net/mii.ko"}
    assert kernel.has(f"{MODULES}/updates/dkms/mii.ko.xz")


def test_dependencies_are_written_anew(kernel: Tree) -> None:
    for text in ("ffffffff81000000 T _stext\n", "The real one is in the package of symbols\n"):
        kernel.write(f"/boot/System.map-{RELEASE}", text)
        (kernel.root / f"usr{MODULES}/modules.dep").unlink()
        kernel.sh("baseUpdateModuleDependencies")
        assert "kernel/fs/ext4/ext4.ko:" in kernel.read(f"{MODULES}/modules.dep")
