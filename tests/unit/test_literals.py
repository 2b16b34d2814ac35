"""What a plug-in is called stands in the plug-in: elsewhere the registries are asked."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import kiwinb
from kiwinb.bootloader import BOOTLOADERS
from kiwinb.distributions import DISTRIBUTIONS
from kiwinb.images import IMAGE_KINDS
from kiwinb.images.formats import FORMATS
from kiwinb.initrd import INITRD_TOOLS
from kiwinb.packages import MANAGERS
from kiwinb.storage.filesystem import FILESYSTEMS

HOME = Path(kiwinb.__file__).parent

PLACES: Mapping[str, tuple[frozenset[str], tuple[str, ...]]] = {
    "package manager": (frozenset(MANAGERS), ("packages/", "distributions/")),
    "distribution": (frozenset(DISTRIBUTIONS), ("distributions/",)),
    "file system": (frozenset(FILESYSTEMS), ("storage/filesystem/", "inspect/formats/")),
    "bootloader": (frozenset(BOOTLOADERS), ("bootloader/",)),
    "initrd tool": (frozenset(INITRD_TOOLS), ("initrd/", "distributions/", "checks/initrd.py")),
    "image kind": (
        frozenset(IMAGE_KINDS) - frozenset(FILESYSTEMS),
        ("images/", "inspect/formats/"),
    ),
    "disk format": (frozenset(FORMATS), ("images/formats/", "inspect/formats/", "vm/")),
}
"""The names of plug-ins, and the rooms that may write them down: those of the plug-ins, and the
readers of images that others made, and QEMU."""

SCHEMA = (
    "description/upgrade.py",
    "description/model/boot.py",
    "description/placement.py",
)
"""What older schemas call things, what the schema assumes where a description is silent, and rules
of the schema that look at several attributes."""

OTHER_WORDS = {
    "apt": ("sandbox/tools.py",),  # the Debian package
    "dracut": (
        "description/sections.py",  # an attribute of the schema
        "images/oem.py",  # what scripts are told as KIWI NG's default
    ),
    "erofs": ("checks/places.py",),  # what a host has mounted
    "pacman": ("sandbox/tools.py",),  # the tool
    "squashfs": ("checks/places.py",),
    "swap": ("storage/", "prepare/profile.py"),  # a partition, and the field of <oemconfig>
    "zypper": ("sandbox/tools.py",),  # the tool
}
"""Words that are something else there."""


def texts(file: Path) -> Iterator[tuple[int, str]]:
    """The string literals of a module, docstrings included, with their lines."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def test_no_module_names_a_plugin_of_another_room() -> None:
    found = []
    for file in sorted(HOME.rglob("*.py")):
        path = file.relative_to(HOME).as_posix()
        if path in SCHEMA:
            continue
        for line, text in texts(file):
            for sort, (names, rooms) in PLACES.items():
                elsewhere = path.startswith(OTHER_WORDS.get(text, ("-",)))
                if text in names and not path.startswith(rooms) and not elsewhere:
                    found.append(f"{path}:{line}: the {sort} {text}")
    assert found == []


def test_a_literal_is_found(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text('if kind == "oem":\n    pass\n')
    assert list(texts(tmp_path / "module.py")) == [(1, "oem")]
