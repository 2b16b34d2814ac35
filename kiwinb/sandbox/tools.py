"""Find the tools of the host that kiwinb runs."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from kiwinb.errors import CrashError, HostError

TOOLS: Mapping[str, str] = {
    "apt-cache": "apt",
    "apt-get": "apt",
    "bwrap": "bubblewrap",
    "cp": "coreutils",
    "createrepo_c": "createrepo-c",
    "curl": "curl",
    "dnf": "dnf",
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
    "pacman": "pacman-package-manager",
    "qemu-aarch64-static": "qemu-user-static",
    "qemu-arm-static": "qemu-user-static",
    "qemu-i386-static": "qemu-user-static",
    "qemu-img": "qemu-utils",
    "qemu-ppc64le-static": "qemu-user-static",
    "qemu-riscv64-static": "qemu-user-static",
    "qemu-s390x-static": "qemu-user-static",
    "qemu-x86_64-static": "qemu-user-static",
    "rpm": "rpm",
    "rpmdb": "rpm",
    "rpmkeys": "rpm",
    "sfdisk": "fdisk",
    "slirp4netns": "slirp4netns",
    "tar": "tar",
    "xorriso": "xorriso",
    "xz": "xz-utils",
    "zstd": "zstd",
    "zypper": "zypper",
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
        HostError: The tool is not installed, or may not be executed; the remedy names its Debian
            package.
    """
    found = shutil.which(name, path=search_path())
    if found is not None:
        return found
    if there := not_executable(name):
        raise HostError(f"the tool {there} is not executable", remedy=_again(name))
    package = TOOLS.get(name)
    remedy = f"Install it: sudo apt-get install {package}" if package else "Install it."
    raise HostError(f"the tool {name} is not installed on this host", remedy=remedy)


def not_executable(name: str) -> str | None:
    """Return the path of a tool that is there and may not be executed; ``None`` if none is."""
    if shutil.which(name, path=search_path()) is not None:
        return None
    places = (Path(directory, name) for directory in search_path().split(os.pathsep) if directory)
    return next((str(place) for place in places if place.is_file()), None)


def cannot_start(name: str, path: str, error: OSError) -> HostError:
    """The error about a tool that the kernel does not execute, for example a damaged one."""
    return HostError(f"the tool {path} cannot be started: {error.strerror}", remedy=_again(name))


def crash(name: str, status: int, tail: Sequence[str] = ()) -> CrashError | None:
    """The error about a tool that crashed or was killed, which says nothing about its input.

    Args:
        name: The tool.
        status: Its exit status: the negative number of a signal, or 128 plus that number if a
            wrapper around the tool reports the signal.
        tail: The last lines that it printed.

    Returns:
        ``None`` if it ended in another way.
    """
    number = -status if status < 0 else status - 128
    said = "".join(f"\n  | {line}" for line in tail)
    if number == signal.SIGKILL:
        return CrashError(
            f"the tool {name} was killed (SIGKILL){said}",
            remedy="The host ran out of memory, most likely. Give it more, or build less at once; "
            "the steps before this one are held.",
        )
    if number in _CRASHES:
        what = signal.Signals(number).name
        return CrashError(f"the tool {name} crashed ({what}){said}", remedy=_again(name))
    return None


_CRASHES = frozenset(
    (
        *(signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE),
        *(signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS),
    )
)


def _again(name: str) -> str:
    package = TOOLS.get(name)
    if package is None:
        return "Install it again."
    return f"Install it again: sudo apt-get install --reinstall {package}"
