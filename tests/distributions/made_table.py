"""Which Debian packages the small distributions are made of, and how they differ from Debian's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class PackageSet:
    """Debian packages that are turned into native ones, with all that they depend on.

    Attributes:
        common: Names of the packages, for all formats.
        own: Names of further packages, by family of formats.
        suite: The suite that the packages come from, whatever the host is.
    """

    common: tuple[str, ...]
    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    suite: str = "bookworm"


_CORE = (
    *("bash", "coreutils", "findutils", "grep", "gzip", "libc-bin", "login", "mawk"),
    *("iputils-ping", "mount", "passwd", "sed", "tar", "tzdata"),
)

SETS: Mapping[str, PackageSet] = {
    "core": PackageSet(_CORE, own={"rpm": ("rpm",)}),
    # No older suite has dnf5.
    "dnf5": PackageSet(_CORE, own={"rpm": ("rpm", "dnf5")}, suite="forky"),
    "boot": PackageSet(
        common=(
            *("dracut-core", "e2fsprogs", "fdisk", "grub-efi-amd64-bin", "grub-pc-bin"),
            *("grub2-common", "kmod", "linux-image-cloud-amd64", "systemd-sysv", "udev"),
            "util-linux",
        ),
    ),
}

CUT: frozenset[str] = frozenset(
    {
        *("adduser", "base-files", "debconf", "debconf-2.0", "debianutils", "debugedit", "dpkg"),
        *("install-info", "libcap2-bin", "libdb5.3", "libdbus-1-3", "libelf1"),
        *("libpam-runtime", "librpmbuild9", "librpmsign9", "perl"),
        *("rpm2cpio", "dnf-data", "gnupg", "gpg", "libappstream5", "libdb5.3t64", "libdw1t64"),
        *("libelf1t64", "libreadline8t64", "librpmbuild10", "librpmsign10", "python3"),
        # of what a disk boots with; their libraries are used by programs that are dropped
        *("gettext-base", "initramfs-tools", "dmsetup", "kpartx", "libcryptsetup12"),
        *("libefiboot1", "libefivar1", "libfreetype6", "libfuse2", "linux-base"),
        "linux-initramfs-tool",
    }
)
"""Packages on which nothing depends here, though it does in Debian."""

DROPPED: tuple[str, ...] = (
    *("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info"),
    *("usr/share/lintian", "usr/share/bug", "usr/share/doc-base", "usr/share/menu"),
    *("usr/share/bash-completion", "usr/share/zoneinfo/right", "usr/share/debconf"),
    # of the package rpm, what needs the packages that are cut
    *("usr/bin/gendiff", "usr/bin/rpmbuild", "usr/bin/rpmlua", "usr/bin/rpmsign"),
    *("usr/bin/rpmspec", "usr/bin/rpmgraph", "usr/lib/rpm/rpmdeps", "usr/lib/rpm/elfdeps"),
    # of GRUB, systemd and udev, likewise; a machine of QEMU needs no names of hardware
    *(
        "usr/bin/grub-fstest",
        "usr/bin/grub-mkfont",
        "usr/bin/grub-mount",
        "usr/sbin/grub-mkdevicemap",
    ),
    *("usr/lib/systemd/systemd-cryptsetup", "usr/bin/systemd-cryptenroll"),
    *("usr/lib/systemd/system-generators/systemd-cryptsetup-generator", "usr/lib/udev/hwdb.d"),
)
"""Files and directories that no converted package has."""

DROPPED_NAMES: tuple[str, ...] = (
    *("systemd_inhibit.so", "dbus_announce.so", "pam_userdb.so"),
    *("appstream.so", "appstream.conf", "builddep_cmd_plugin.so"),
    "compatibility-plugins.conf",  # names the command builddep
)
"""Names of further files that no converted package has, wherever they are."""

LINKS: Mapping[str, Mapping[str, str]] = {
    "bash": {"usr/bin/sh": "bash"},
    "mawk": {"usr/bin/awk": "mawk"},
    "dnf5": {"usr/bin/microdnf": "dnf5"},
}
"""Links that Debian's maintainer scripts or other packages make; by package."""

CAPABILITIES: Mapping[str, str] = {"usr/bin/ping": "cap_net_raw=ep"}
"""Capabilities that Debian's maintainer scripts set; by path."""

PROVIDED: Mapping[str, tuple[str, ...]] = {
    "bash": ("/bin/sh", "/bin/bash", "/usr/bin/sh"),
    "libc-bin": ("/sbin/ldconfig",),
    "dnf5": ("microdnf",),  # as in Fedora
}
"""What packages can require: paths, which are elsewhere since ``/usr`` is merged, and names."""

AFTER: Mapping[str, str] = {"libc-bin": "ldconfig"}
"""What a package runs after its installation and after updates."""

GROUP = "test-base"
"""Name of a group of packages."""

GROUP_MEMBERS: Mapping[str, str] = {
    "bash": "mandatory",
    "coreutils": "mandatory",
    "tzdata": "default",
}
"""What it consists of, and how firmly, for formats that tell."""
