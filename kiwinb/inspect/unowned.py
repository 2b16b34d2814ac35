"""List the files of a tree that do not belong to packages, and where they come from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import pandas as pd

from kiwinb.inspect.database import Installed, installed_in
from kiwinb.inspect.files import files
from kiwinb.inspect.remembered import remembered
from kiwinb.inspect.tree import Tree
from kiwinb.packages.databases import nominal

MACHINE_MADE: Mapping[str, str] = {
    r"/((dev|run)(/.*)?|proc|sys|tmp|var/tmp)": "directory of the running system",
    r"/(boot|home|media|mnt|opt|srv|(etc|var)/opt|usr/local|var/local)": "directory by the FHS",
    r"/var/spool/mail|/usr/local/man|/var/(run|lock)": "directory by the FHS",
    r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|/etc/\.pwd\.lock": "users and groups",
    r"/etc/(hostname|hosts|resolv\.conf|machine-id|fstab|mtab|adjtime)": "identity of the system",
    r"/etc/(localtime|timezone)|/etc/(default/)?locale(\.conf|\.gen)?": "time zone and language",
    r"/etc/(vconsole\.conf|default/keyboard)": "keyboard",
    r"/etc/(ld\.so\.cache|ld\.so\.conf)|/var/cache/ldconfig(/.*)?": "made by ldconfig",
    r"/usr/lib/locale(/.*)?": "compiled locales",
    r"/boot/(initrd|initramfs).*|/initrd\.img(\.old)?|/vmlinuz(\.old)?": "initrd and kernel links",
    r"/boot/grub2?(/.*)?|/(boot/)?efi(/.*)?|/etc/default/grub": "bootloader",
    r"/image(/.*)?": "description of the image",
    r"/usr/lib/kiwinb(/.*)?|/usr/lib/systemd/system/kiwinb-.*|/config\.partids": "made by kiwinb",
    r"(/usr)?/lib/modules/[^/]+/modules\..*": "made by depmod",
    r"/etc/ssh/ssh_host_.*": "host keys of SSH",
    r"/etc/ssl/certs/.*": "certificates, by update-ca-certificates",
    r"/etc/systemd/(system|user)/.*\.(wants|requires|upholds)(/.*)?": "enabled services",
    r"/var/lib/systemd(/.*)?|/var/(cache|lib|log)/private": "state of systemd",
    r"/usr/share/info/dir(\.old)?": "index of info pages",
    r"/var/cache/man(/.*)?": "index of manual pages",
    r"/var/cache/fontconfig(/.*)?": "index of fonts",
    r"/usr/share/(mime|applications|icons)/(.*/)?(mime\.cache|mimeinfo\.cache|icon-theme\.cache)": (
        "index of the desktop"
    ),
    r"/usr/lib/udev/hwdb\.bin|/etc/udev/hwdb\.bin": "made by systemd-hwdb",
    r"(/.*)?/__pycache__(/.*)?": "compiled Python",
    r"/var/log(/.*)?": "log",
    r"/(root|home/[^/]+)(/\.(bash_logout|bashrc|profile|cshrc|tcshrc))?": "home directory",
    r"/etc/nsswitch\.conf": "template of the C library",
    r"/etc/shells|/var/lib/shells\.state": "list of shells",
    r"/lost\+found": "made with the file system",
}
"""Descriptions of files that programs make in systems with any package manager, by path."""

MACHINE_MADE_LINKS: Mapping[str, str] = {
    r"/etc/systemd/(system|user)/[^/]+\.(service|socket|timer|target|mount|path)": (
        "service aliases and masks"
    ),
}
"""Descriptions of symbolic links that programs make, by path."""

_ALTERNATIVES = "/etc/alternatives"
_BUSYBOX = ("/bin/busybox", "/usr/bin/busybox")


def unowned(tree: Tree) -> pd.DataFrame:
    """List the paths of a tree that do not belong to a package.

    The columns are those of :func:`~kiwinb.inspect.files.files` and ``reason``, which says where
    the path comes from if that is known: databases and caches, links by alternatives, users and
    groups, scripts of packages that name it, and so on. Paths with an empty reason come from
    overlays, archives and scripts of the description, or were made by hand.

    Raises:
        InspectError: The tree or its package database cannot be read.
    """
    tree = remembered(tree)
    table = files(tree)
    found = table[table["package"].eq("")].reset_index(drop=True)
    installed = installed_in(tree)
    known = {**(installed.database.own_files if installed else {}), **MACHINE_MADE}
    rules = [(re.compile(pattern), said) for pattern, said in known.items()]
    links = [(re.compile(pattern), said) for pattern, said in MACHINE_MADE_LINKS.items()]
    names = list(_named_in_scripts(tree, installed)) if installed else []
    holding = _directories_of(table)

    name = nominal(tree)

    def by_rule(path: str, is_link: bool) -> str:
        matching = [*rules, *links] if is_link else rules
        known_as = name(path)
        return next((said for rule, said in matching if rule.fullmatch(known_as)), "")

    def reason(path: str, target: str, is_directory: bool) -> str:
        if path.startswith(_ALTERNATIVES) or target.startswith(f"{_ALTERNATIVES}/"):
            return "link by alternatives"
        if target in _BUSYBOX:
            return "link by busybox"
        said = by_rule(path, bool(target))
        if not said:
            said = next((f"named in the {label}" for label, text in names if path in text), "")
        if not said and is_directory and path in holding:
            return "holds files of packages"
        return said

    return found.assign(
        reason=pd.Series(
            [
                reason(path, target, is_directory)
                for path, target, is_directory in zip(
                    found["path"], found["target"], found["type"].eq("directory"), strict=True
                )
            ],
            index=found.index,
            dtype=object,
        )
    )


def _named_in_scripts(tree: Tree, installed: Installed) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the name of each script of a package, and the paths that it mentions."""
    for label, text in installed.database.scripts(tree, installed.packages).items():
        yield label, frozenset(_PATH.findall(text))


_PATH = re.compile(r"(?<![\w.}])/[\w.+@-]+(?:/[\w.+@-]+)+")


def _directories_of(table: pd.DataFrame) -> set[str]:
    """Return all parent directories of paths that belong to packages."""
    owned = table.loc[table["package"].ne(""), "path"]
    found: set[str] = set()
    for parent in {path.rpartition("/")[0] for path in owned}:
        while parent and parent not in found:
            found.add(parent)
            parent = parent.rpartition("/")[0]
    return found | {"/"}
