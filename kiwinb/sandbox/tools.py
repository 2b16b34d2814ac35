"""Find the tools of the host that kiwinb runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from kiwinb.errors import HostError

TOOLS: Mapping[str, str] = {
    "apt-cache": "apt",
    "apt-get": "apt",
    "bwrap": "bubblewrap",
    "cp": "coreutils",
    "dpkg": "dpkg",
    "dpkg-deb": "dpkg",
    "fdisk": "fdisk",
    "fsck.erofs": "erofs-utils",
    "grub-mkimage": "grub-common",
    "mcopy": "mtools",
    "mke2fs": "e2fsprogs",
    "mkfs.erofs": "erofs-utils",
    "mkfs.vfat": "dosfstools",
    "mkfs.xfs": "xfsprogs",
    "mksquashfs": "squashfs-tools",
    "mkswap": "util-linux",
    "newgidmap": "uidmap",
    "newuidmap": "uidmap",
    "nsenter": "util-linux",
    "patch": "patch",
    "qemu-aarch64-static": "qemu-user-static",
    "qemu-arm-static": "qemu-user-static",
    "qemu-i386-static": "qemu-user-static",
    "qemu-img": "qemu-utils",
    "qemu-ppc64le-static": "qemu-user-static",
    "qemu-riscv64-static": "qemu-user-static",
    "qemu-s390x-static": "qemu-user-static",
    "qemu-x86_64-static": "qemu-user-static",
    "sfdisk": "fdisk",
    "slirp4netns": "slirp4netns",
    "tar": "tar",
    "xorriso": "xorriso",
    "xz": "xz-utils",
    "zstd": "zstd",
    "zsyncmake": "zsync",
}
"""Debian packages that contain the tools, by tool."""

_SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def search_path() -> str:
    """Return ``PATH`` with the directories of system tools, which ordinary users often lack."""
    given = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*given, *(d for d in _SYSTEM_DIRECTORIES if d not in given)])


def find_tool(name: str) -> str:
    """Find the path of a host tool.

    Raises:
        HostError: The tool is not installed; the remedy names its Debian package.
    """
    found = shutil.which(name, path=search_path())
    if found is None:
        package = TOOLS.get(name)
        remedy = f"Install it: sudo apt-get install {package}" if package else "Install it."
        raise HostError(f"the tool {name} is not installed on this host", remedy=remedy)
    return found
