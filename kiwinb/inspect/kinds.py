"""Classify files by path and mode, without reading their content."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from kiwinb.packages.databases import DATABASES

_DATABASE = "package database"

KINDS: Mapping[str, str] = {
    "kernel module": r"/lib/modules/.*\.ko(?:\.\w+)?$",
    "bootloader": r"^/boot/(?:grub2?|efi|loader)/|^/usr/lib/(?:grub|shim|syslinux)/|^/efi/",
    "kernel and initrd": r"^/boot/|/vmlinuz[^/]*$",
    "firmware": r"/lib/firmware/",
    "documentation": r"^/usr/(?:local/)?share/(?:doc|man|info|gtk-doc|help|lintian|doc-base)/",
    "translation": (
        r"^/usr/(?:local/)?share/(?:locale|i18n|locale-langpack)/|/LC_[A-Z]+/|^/usr/lib/locale/"
    ),
    "time zone": r"^/usr/share/zoneinfo/",
    "font": r"\.(?:ttf|otf|pfb|pcf|woff2?)(?:\.gz)?$",
    "picture": r"\.(?:png|svgz?|jpe?g|gif|xpm|ico)$",
    "compiled Python": r"\.pyc$",
    "Python": r"\.py$",
    "Perl": r"\.p[lm]$",
    "header": r"/include/.*\.(?:h|hh|hpp|inc)$",
    "static library": r"\.(?:a|la)$",
    "shared library": r"\.so(?:\.[\w.]+)?$",
    _DATABASE: r"^/usr/lib/sysimage/",
    "cache": r"^/var/cache/",
    "log": r"^/var/log/",
    "configuration": r"^/etc/",
}
"""Regular expressions of paths, by kind of regular file; the first one that matches counts.

The registry of package databases adds the paths of databases that kiwinb reads.
"""

PROGRAM = "program"
OTHER = "other data"

_COMPRESSED = re.compile(r"\.(gz|xz|zst|bz2|lz4)$")


def kinds(files: pd.DataFrame) -> pd.Series:
    """Return the kind of each file: one of :data:`KINDS`, ``program``, ``other data`` or its type.

    Args:
        files: Table with the columns ``path``, ``type`` and ``mode``.
    """
    path = files["path"].astype(str)
    regular = files["type"].eq("file")
    found = pd.Series(files["type"].astype(object), index=files.index)
    found[regular] = OTHER
    executable = (files["mode"] & 0o111).ne(0)
    found[regular & executable] = PROGRAM
    rest = path[regular]
    homes = "".join(
        f"|^{re.escape(home)}(?:/|$)" for item in DATABASES.values() for home in item.homes
    )
    for kind, pattern in KINDS.items():
        if kind == _DATABASE:
            pattern += homes
        matches = rest.str.contains(pattern, regex=True)
        found[rest.index[matches]] = kind
        rest = rest[~matches]
    return found


def extensions(files: pd.DataFrame) -> pd.Series:
    """Return the extension of each regular file in lower case; for others, the type in brackets.

    Version numbers after ``.so`` are left out. Extensions of compressed files include the extension
    before: ``.so``, ``.ko.xz``, ``.gz``.

    Args:
        files: Table with the columns ``path`` and ``type``.
    """
    return pd.Series(
        [
            extension(path.rpartition("/")[2]) if kind == "file" else f"({kind})"
            for path, kind in zip(files["path"], files["type"], strict=True)
        ],
        index=files.index,
        dtype=object,
    )


_SHARED = re.compile(r"\.so(\.[0-9][\w.]*)?$")
_EXTENSION = re.compile(r"(?<=.)(\.[A-Za-z][\w+-]{0,9})?(\.[A-Za-z][\w+-]{0,9})$")


def extension(name: str) -> str:
    """Return the extension of a file name, or ``(none)``."""
    if _SHARED.search(name):
        return ".so"
    match = _EXTENSION.search(name)
    if match is None:
        return "(none)"
    before, last = (match[1] or "").lower(), match[2].lower()
    return before + last if _COMPRESSED.match(last) else last
