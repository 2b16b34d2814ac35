"""Packages that a disk boots with, in the layout that each distribution has.

Debian's kernel, GRUB, systemd and dracut become packages with the names, the paths and the scripts
of those of Fedora, openSUSE and Arch Linux, as far as a build depends on them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from made_packages import (
    Alternatives,
    Entry,
    Package,
    Relation,
    Scripts,
    symlink,
    text,
)

_KERNEL, _META = "linux-image-[0-9]*", "linux-image-cloud-amd64"
_GRUB = ("grub-common", "grub2-common")
_SYSTEMD = ("systemd", "systemd-sysv")
_KERNEL_FILE = re.compile(r"boot/vmlinuz-(.+)")

_MODULES = (
    *("arch/", "crypto/", "lib/", "drivers/block/", "drivers/char/", "drivers/virtio/"),
    *("fs/autofs/", "fs/configfs/", "fs/efivarfs/", "fs/ext4/", "fs/fat/", "fs/fuse/"),
    *("fs/jbd2/", "fs/mbcache.ko", "fs/nls/"),
)
"""What the kernels keep of ``/lib/modules/VERSION/kernel``: enough for a machine of QEMU."""

_NEEDS: Mapping[str, tuple[str, ...]] = {
    "dracut": (
        *("bash", "coreutils", "findutils", "grep", "gzip", "libc-bin", "mawk", "mount", "sed"),
        *("systemd", "util-linux"),
    ),
    "systemd": ("login", "util-linux"),
}
"""What packages need besides; in Debian, each system has it, or their maintainer scripts do."""


@dataclass(frozen=True)
class _Layout:
    """How a distribution divides and places what Debian's packages have.

    Attributes:
        packages: Patterns of the Debian packages that a package is made of, by its name.
        moved: What paths begin with in Debian, and what they begin with instead.
        posts: What a package runs after its installation, by its name; ``{}`` is the version of
            the kernel.
    """

    packages: Mapping[str, tuple[str, ...]]
    moved: Mapping[str, str] = field(default_factory=dict)
    posts: Mapping[str, str] = field(default_factory=dict)


_ACCOUNTS = "systemd-sysusers\nsystemd-machine-id-setup"
_GRUB2_TOOLS = {"usr/bin/grub-": "usr/bin/grub2-", "usr/sbin/grub-": "usr/sbin/grub2-"}

_LAYOUTS: Mapping[str, _Layout] = {
    "fedora": _Layout(
        packages={
            "kernel": (_KERNEL, _META),
            "systemd": _SYSTEMD,
            "systemd-udev": ("udev",),
            "dracut": ("dracut-core",),
            "grub2-tools": _GRUB,
            "grub2-pc-modules": ("grub-pc-bin",),
            "grub2-efi-x64-modules": ("grub-efi-amd64-bin",),
        },
        moved=_GRUB2_TOOLS,
        posts={
            "systemd": _ACCOUNTS,
            "kernel": "depmod {0}\ncp -p /usr/lib/modules/{0}/vmlinuz /boot/vmlinuz-{0}",
        },
    ),
    "suse": _Layout(
        packages={
            "kernel-default": (_KERNEL, _META),
            "systemd": _SYSTEMD,
            "udev": ("udev",),
            "dracut": ("dracut-core",),
            "grub2": _GRUB,
            "grub2-i386-pc": ("grub-pc-bin",),
            "grub2-x86_64-efi": ("grub-efi-amd64-bin",),
        },
        moved={
            **_GRUB2_TOOLS,
            "usr/lib/grub/": "usr/share/grub2/",
            "usr/share/grub/": "usr/share/grub2/",
        },
        posts={
            "systemd": _ACCOUNTS,
            "kernel-default": "depmod {0}\nln -sf vmlinuz-{0} /boot/vmlinuz",
        },
    ),
    "arch": _Layout(
        packages={
            "linux": (_KERNEL, _META),
            "systemd": (*_SYSTEMD, "udev"),
            "dracut": ("dracut-core",),
            "grub": (*_GRUB, "grub-pc-bin", "grub-efi-amd64-bin"),
        },
        posts={"systemd": _ACCOUNTS, "linux": "depmod {0}"},
    ),
}


def is_native(name: str) -> bool:
    """Whether each distribution has a Debian package in its own way."""
    patterns = (*_LAYOUTS["arch"].packages.values(),)
    return any(fnmatchcase(name, pattern) for group in patterns for pattern in group)


def native(kind: str, packages: Sequence[Package]) -> Iterator[Package]:
    """Make the packages that a distribution has in its own way.

    Args:
        kind: ``fedora``, ``suse`` or ``arch``.
        packages: The Debian packages, converted.
    """
    layout = _LAYOUTS[kind]
    for name, patterns in layout.packages.items():
        parts = [
            package
            for pattern in patterns
            for package in packages
            if fnmatchcase(package.name, pattern)
        ]
        entries = [entry for part in parts for entry in part.entries]
        if kernel := next(filter(None, map(_kernel_version, entries)), ""):
            entries = [*_kernel(kind, kernel, entries)]
        yield replace(
            _joined(name, parts),
            entries=_placed(entries, layout.moved),
            scripts=Scripts(post=layout.posts.get(name, "").format(kernel)),
        )


def _joined(name: str, parts: Sequence[Package]) -> Package:
    """One package in place of several, which still can be required by their names."""
    provided = [
        relation
        for part in parts
        for relation in (*part.provides, Relation(part.name, "=", part.version))
        if relation.name != name
    ]
    own = {name, *(relation.name for relation in provided)}
    needed = [group for part in parts for group in part.requires]
    needed += [(Relation(other),) for other in _NEEDS.get(name, ())]

    def is_foreign(group: Alternatives) -> bool:
        return not own & {relation.name for relation in group}

    return replace(
        parts[0],
        name=name,
        requires=tuple(filter(is_foreign, dict.fromkeys(needed))),
        recommends=(),
        provides=tuple(provided),
        conflicts=tuple(
            relation for part in parts for relation in part.conflicts if relation.name not in own
        ),
    )


def _kernel_version(entry: Entry) -> str:
    """The version of a kernel; empty for other files."""
    found = _KERNEL_FILE.fullmatch(entry.path)
    return found[1] if found else ""


def _kernel(kind: str, version: str, entries: Sequence[Entry]) -> Iterator[Entry]:
    """The files of a kernel, of which all are in the directory of its modules, and few modules."""
    home = f"usr/lib/modules/{version}"
    for entry in entries:
        above, _, name = entry.path.rpartition("/")
        if above == "boot":
            yield replace(entry, path=f"{home}/{name.removesuffix(f'-{version}')}")
        elif _is_kept(entry, f"{home}/kernel/"):
            yield entry
    if kind == "fedora":
        yield text(f"boot/vmlinuz-{version}", "", 0o755, ghost=True)
        yield text(f"boot/initramfs-{version}.img", "", 0o600, ghost=True)
    elif kind == "suse":
        yield symlink(f"boot/vmlinuz-{version}", f"../{home}/vmlinuz")
        yield text(f"boot/initrd-{version}", "", 0o600, ghost=True)
    else:
        yield text(f"{home}/pkgbase", "linux\n")


def _is_kept(entry: Entry, modules: str) -> bool:
    """Whether a file is no module, or one that a machine of QEMU needs."""
    if not entry.path.startswith(modules):
        return True
    kept = tuple(f"{modules}{name}" for name in _MODULES)
    return entry.kind == "file" and f"{entry.path}/".startswith(kept)


def _placed(entries: Sequence[Entry], moved: Mapping[str, str]) -> list[Entry]:
    """Files at their places, each once."""
    found: dict[str, Entry] = {}
    for entry in entries:
        path = f"{entry.path}/"
        for start, instead in moved.items():
            if path.startswith(start):
                path = instead + path.removeprefix(start)
        path = path.rstrip("/")
        found.setdefault(path, replace(entry, path=path))
    return sorted(found.values(), key=lambda entry: (entry.kind == "hardlink", entry.path))
