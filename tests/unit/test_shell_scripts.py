"""Scripts of a description: what runs them, what they find, and what they leave."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from shell_tree import Tree

from kiwinb.build.plan import plan_build
from kiwinb.description.model import (
    Bootloader,
    BuildType,
    ImageDescription,
    OemConfig,
    Packages,
    Preferences,
    Strip,
    SystemDisk,
    Volume,
)
from kiwinb.description.sources import Sources
from kiwinb.errors import CommandError
from kiwinb.images.inputs import BuildInputs
from kiwinb.images.oem import OemKind
from kiwinb.packages.manager import RepositoryState
from kiwinb.prepare.profile import profile_text, profile_variables
from kiwinb.prepare.scripts import Script, ScriptEnvironment
from kiwinb.steps.keys import Source

IMAGE = ImageDescription(
    name="it's",
    directory=Path(),
    file=Path("config.xml"),
    arch="x86_64",
    type=BuildType("tbz"),
    preferences=Preferences(packagemanager="apt"),
)
DOCUMENTED = {
    "kiwi_compressed",
    "kiwi_delete",
    "kiwi_drivers",
    "kiwi_iname",
    "kiwi_iversion",
    "kiwi_keytable",
    "kiwi_language",
    "kiwi_profiles",
    "kiwi_timezone",
    "kiwi_type",
}


def test_nothing_is_left(tree: Tree) -> None:
    tree.write("/image/notes", "stay")
    before = tree.files("/")
    lines = tree.script('ls -a / /image; echo "$x $SOURCE_DATE_EPOCH"; cat /.profile', {"x": "y z"})
    assert {".kconfig", ".profile", "config.sh", "notes"} <= set(lines)
    assert lines[-2:] == ["y z 1600000000", "x='y z'"]
    assert tree.files("/") == before


def test_own_files_are_not_written_through_links(tree: Tree, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("precious")
    for name in (".kconfig", ".profile"):
        (tree.root / name).symlink_to(outside)
    tree.sh("true")
    assert outside.read_text() == "precious"


@pytest.mark.parametrize(
    ("first", "mode", "interpreter"),
    [
        ("", 0o644, None),
        ("", 0o755, None),
        ("#!/bin/bash", 0o644, None),
        ("#!/bin/sh", 0o644, None),
        ("#!/bin/sh -e", 0o755, "/bin/sh"),
        ("#!/bin/bash", 0o755, "/bin/bash"),
        ("#! /usr/bin/python3", 0o644, "/usr/bin/python3"),
        ("#!/usr/bin/env -S A=b python3 -I", 0o644, "python3"),
        ("#!/usr/bin/env bash", 0o644, None),
        ("#!", 0o755, None),
    ],
)
def test_interpreter(tmp_path: Path, first: str, mode: int, interpreter: str | None) -> None:
    file = tmp_path / "config.sh"
    file.write_text(f"{first}\nx\n")
    file.chmod(mode)
    script = Script("config.sh", Source("0" * 64, file), ScriptEnvironment("", {}, 0))
    assert script.interpreter() == interpreter


@pytest.mark.parametrize("mode", [0o644, 0o755])
def test_first_line_says_what_runs_it(tree: Tree, mode: int) -> None:
    assert tree.script("#!/usr/bin/env cat\nthis\n", mode=mode) == ["#!/usr/bin/env cat", "this"]
    assert tree.script("#!/bin/sh\necho ${BASH_VERSION:+bash}\n") == ["bash"]


def test_missing_interpreter(tree: Tree) -> None:
    with pytest.raises(CommandError, match=r"run by /usr/bin/perl, which is not in the root tree"):
        tree.script("#!/usr/bin/perl\n")
    (tree.root / "usr/bin/bash").unlink()
    with pytest.raises(CommandError, match="run by bash, which is not in the root tree"):
        tree.script("true\n")


def test_host_script_sees_and_writes_the_tree_only(tree: Tree, tmp_path: Path) -> None:
    there = Path("/var/lib/kiwinb-written-by-a-script")  # the checkout may be in /tmp
    lines = tree.script(
        "set -e; . ./.profile; pwd; touch srv; echo $x; test -d /proc/self\n"
        f"test ! -e {__file__}; touch {there} 2>/dev/null || echo protected\n"
        ". ./.kconfig; baseStripMans || echo refused\n",
        {"x": "y"},
        on_host=True,
    )
    assert lines[:2] == [str(tree.root), "y"]
    assert not there.exists()
    # Lines of the two streams may change places with each other, those of one may not.
    assert [line for line in lines if line in ("protected", "refused")] == ["protected", "refused"]
    assert "baseStripMans: this is not the root tree of an image; nothing is done" in lines
    assert tree.has("/srv")
    assert not tree.has("/.kconfig")
    assert not tree.has("/image")


def test_failing_host_script(tree: Tree) -> None:
    with pytest.raises(CommandError, match=r"config\.sh failed \(exit status 4\)[^|]*\| why"):
        tree.script("echo why; exit 4", on_host=True)


@pytest.mark.parametrize("on_host", [False, True])
def test_a_failure_names_its_line(tree: Tree, on_host: bool) -> None:
    with pytest.raises(CommandError) as caught:
        tree.script("set -e\ntrue\nfalse\necho never\n", on_host=on_host)
    location = caught.value.location
    assert location is not None and location.line == 3
    assert location.file.name == "config.sh"
    assert not tree.has("/image")


def test_variables_for_a_shell() -> None:
    image = replace(
        IMAGE,
        profiles=("a", "b"),
        drivers=("x/*", "y"),
        packages=Packages(delete=("p", "q")),
        strip=Strip(delete=("usr/share/doc",), tools=("ls", "cat"), libs=("libx",)),
        preferences=Preferences(version="2.0.0", locale=("de_DE", "en_US"), keytable="de"),
        type=BuildType(
            "oem",
            compressed=True,
            attributes={"luks": "", "ramonly": "true"},
            bootloader=Bootloader(timeout=3, output_console="serial"),
            oemconfig=OemConfig(systemsize=2048, reboot=False),
        ),
    )
    variables = profile_variables(image, OemKind().variables(image))
    assert set(variables) >= DOCUMENTED
    assert (
        variables
        | {
            "kiwi_bootloader": "grub2",
            "kiwi_bootloader_console": "serial:serial",
            "kiwi_boot_timeout": "3",
            "kiwi_compressed": "true",
            "kiwi_delete": "p q",
            "kiwi_drivers": "x/*,y",
            "kiwi_iname": "it's",
            "kiwi_install_volid": "INSTALL",
            "kiwi_iversion": "2.0.0",
            "kiwi_language": "de_DE,en_US",
            "kiwi_luks_empty_passphrase": "true",
            "kiwi_oemreboot": "false",
            "kiwi_oemrootMB": "2048",
            "kiwi_profiles": "a,b",
            "kiwi_initrd_system": "dracut",
            "kiwi_shasum_suffix": ".sha256",
            "kiwi_vga": "auto",
            "kiwi_ramonly": "true",
            "kiwi_strip_delete": "usr/share/doc",
            "kiwi_strip_libs": "libx",
            "kiwi_strip_tools": "ls cat",
            "kiwi_timezone": "",
        }
        == variables
    )
    assert "kiwi_iname='it'\"'\"'s'\n" in profile_text(variables)


@pytest.mark.parametrize(
    ("filesystem", "disk", "expected"),
    [
        (
            "ext4",
            SystemDisk(
                name="vg",
                volumes=(
                    Volume("usr/lib", freespace="100M"),
                    Volume("home", mountpoint="/home", size="2G"),
                    Volume("@root=top", size="all"),
                ),
            ),
            {
                "lvm": "true",
                "lvmgroup": "vg",
                "Volume_1": "usr_lib|freespace:100|usr/lib",
                "Volume_2": "home|size:2048|/home",
                "Volume_Root": "top|size:all|",
                "Volume_3": "LVSwap|size:128|",
            },
        ),
        (
            "xfs",
            SystemDisk(volumes=(Volume("var", freespace="all"),)),
            {
                "lvm": "true",
                "lvmgroup": "systemVG",
                "Volume_1": "var|size:all|var",
                "Volume_Root": "LVRoot|freespace:300|",
                "Volume_2": "LVSwap|size:128|",
            },
        ),
        (
            "btrfs",
            SystemDisk(volumes=(Volume("home"),)),
            {"Volume_1": "home|freespace:120|home", "Volume_Root": "|size:all|"},
        ),
    ],
)
def test_variables_of_volumes(filesystem: str, disk: SystemDisk, expected: dict[str, str]) -> None:
    kind = BuildType("oem", filesystem=filesystem, systemdisk=disk, oemconfig=OemConfig(swap=True))
    image = replace(IMAGE, type=kind)
    variables = profile_variables(image, OemKind().variables(image))
    found = {
        name.removeprefix("kiwi_"): value
        for name, value in variables.items()
        if name.startswith(("kiwi_Volume", "kiwi_lvm"))
    }
    assert found == expected


def test_variables_are_there_when_nothing_is_said() -> None:
    variables = profile_variables(IMAGE)
    assert set(variables) >= DOCUMENTED
    assert variables["kiwi_language"] == ""
    assert variables["kiwi_bootloader_console"] == "default:default"


@pytest.mark.parametrize("delta", ["true", "false"])
def test_places_of_the_scripts(delta: str) -> None:
    names = (
        "post_bootstrap.sh",
        "config.sh",
        "config-overlay.sh",
        "config-host-overlay.sh",
        "images.sh",
    )
    scripts = {name: Source(name, Path(name)) for name in names}
    image = replace(
        IMAGE,
        packages=Packages(delete=("p",)),
        type=BuildType("tbz", attributes={"delta_root": delta}),
    )
    state = RepositoryState(digests=(), epoch=0, metadata=Path())
    plan = plan_build(image, BuildInputs(Sources(scripts=scripts), 0, (), state))
    overlay = ["config-overlay.sh", "config-host-overlay.sh"] if delta == "true" else []
    assert [step.name for step in plan.prepare] == [
        "bootstrap",
        "post_bootstrap.sh",
        "identity",
        "config.sh",
        "delete",
        *overlay,
        "cleanup",
    ]
    assert plan.create[0].name == "images.sh"


def test_a_script_that_wants_the_network(tree: Tree) -> None:
    said = "curl: (6) Could not resolve host: example.org"
    with pytest.raises(CommandError, match=r"build with --network=config\.sh"):
        tree.sh(f"echo '{said}' >&2; exit 6")
