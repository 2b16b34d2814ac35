"""Which tools of the host the build of a description calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kiwinb.description.model import ImageDescription
from kiwinb.images.formats.format import FORMATS
from kiwinb.sandbox.tools import TOOLS
from kiwinb.storage.layout import uses_efi

_MAKERS: Mapping[str, tuple[str, ...]] = {
    "btrfs": ("mke2fs",),  # libext2fs, which comes with it, sums what is written
    "ext2": ("mke2fs",),
    "ext3": ("mke2fs",),
    "ext4": ("mke2fs",),
    "fat16": ("mkfs.vfat", "mcopy"),
    "fat32": ("mkfs.vfat", "mcopy"),
    "xfs": ("mkfs.xfs", "mke2fs"),
}
"""Tools that make a file system, by its name."""

BASE = ("apt-get", "apt-cache", "cp", "dpkg", "dpkg-deb", "tar")
"""Tools that all builds of Debian and Ubuntu images call."""


def tools_for(image: ImageDescription) -> dict[str, str]:
    """What each host tool is needed for, by its name.

    Tools that a build takes from the root tree are not in it, nor those that it can do without.
    """
    kind = image.type
    needed = dict.fromkeys(BASE, "root trees")
    for repository in image.repositories:
        if repository.path.startswith("iso:"):
            needed["xorriso"] = f"the repository {repository.path}"
    if kind.image in ("docker", "oci", "tbz", "iso"):
        needed["xz"] = f"images of type {kind.image}"
    if kind.image in ("docker", "oci") and kind.derived_from:
        needed["zstd"] = "base containers"
    if kind.image == "iso":
        needed["xorriso"] = "ISO images"
    if kind.image in ("oem", "iso") and uses_efi(image):
        needed |= dict.fromkeys(_MAKERS["fat16"], "the EFI system partition")
    if kind.image == "oem":
        needed |= _disk_tools(image)
    if kind.image in _MAKERS:
        needed |= dict.fromkeys(_MAKERS[kind.image], f"images of type {kind.image}")
    return needed


def _disk_tools(image: ImageDescription) -> dict[str, str]:
    kind = image.type
    table = "sfdisk" if (kind.target_blocksize or 512) == 512 else "fdisk"
    needed = {table: "partition tables"}
    root = kind.filesystem or "ext4"
    others = [item.filesystem for item in kind.partitions]
    if kind.bootpartition:
        others.append(kind.bootfilesystem or root)
    if kind.spare_part:
        others.append(kind.spare_part_fs)
    for name in (root, *others):
        needed |= dict.fromkeys(_MAKERS.get(name or "", ()), f"the file system {name}")
    if kind.oemconfig.swap:
        needed["mkswap"] = "swap space"
    if kind.format in FORMATS:
        needed["qemu-img"] = f'format="{kind.format}"'
    return needed


def packages_of(tools: Iterable[str]) -> tuple[str, ...]:
    """The Debian packages that hold the tools, sorted; a tool of no known package is left out."""
    return tuple(sorted({TOOLS[name] for name in tools if name in TOOLS}))


def install_command(tools: Iterable[str]) -> str:
    """The command that installs the tools on Debian and Ubuntu."""
    return f"sudo apt-get install {' '.join(packages_of(tools))}"
