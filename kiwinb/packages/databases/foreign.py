"""Recognise package databases that kiwinb cannot read yet."""

from __future__ import annotations

from collections.abc import Mapping

from kiwinb.packages.databases.database import TreeFiles

FOREIGN: Mapping[str, tuple[str, ...]] = {
    "opkg": ("/usr/lib/opkg/status", "/var/lib/opkg/status"),
    "xbps": ("/var/db/xbps",),
    "eopkg": ("/var/lib/eopkg/package",),
    "swupd": ("/usr/share/clear/bundles",),
    "FreeBSD's pkg": ("/var/db/pkg/local.sqlite",),
    "Portage": ("/var/db/pkg",),
    "Slackware's pkgtools": ("/var/lib/pkgtools/packages", "/var/log/packages"),
    "Nix": ("/nix/var/nix/db/db.sqlite",),
    "Guix": ("/var/guix/db/db.sqlite",),
}
"""Files and directories that only databases of a kind have, by name of the package manager."""


def find_foreign(tree: TreeFiles) -> tuple[str, str] | None:
    """Return the package manager whose database a tree has, and the path of the database."""
    for name, paths in FOREIGN.items():
        for path in paths:
            if tree.exists(tree.resolved(path)):
                return name, path
    return None
