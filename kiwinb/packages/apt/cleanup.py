"""What maintainer scripts, apt and dpkg leave in a tree and no image is to have."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from kiwinb.sandbox.paths import resolve_in

_DIFFERS = (
    "var/cache/ldconfig/aux-cache",
    "var/log/alternatives.log",
    "var/log/dpkg.log",
    "var/log/bootstrap.log",
    "var/log/apt/*",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
    "var/lib/dbus/machine-id",
)
"""Inode numbers, dates and random numbers: no two runs leave the same."""

_HOST_KEYS = "etc/ssh/ssh_host_*_key*"
_SNAKE_OIL = ("etc/ssl/private/ssl-cert-snakeoil.key", "etc/ssl/certs/ssl-cert-snakeoil.pem")

_NOT_NEEDED = (
    "var/cache/apt/*.bin",
    "var/cache/apt/archives/*.deb",
    "var/cache/apt/archives/lock",
    "var/cache/apt/archives/partial/*",
    "var/cache/debconf/*-old",
    "var/lib/apt/lists/*_*",
    "var/lib/apt/lists/lock",
    "var/lib/apt/lists/auxfiles",
    "var/lib/apt/lists/partial/*",
    "var/lib/dpkg/*-old",
    "var/lib/dpkg/lock*",
    "var/lib/dpkg/triggers/Lock",
    "etc/passwd-",
    "etc/group-",
    "etc/shadow-",
    "etc/gshadow-",
    "etc/subuid-",
    "etc/subgid-",
    "etc/.pwd.lock",
)


def settle(root: Path, log: Callable[[str], None]) -> None:
    """Remove what differs from run to run; keys that every machine is to have for itself too."""
    for pattern in _DIFFERS:
        _remove(root, pattern)
    machine_id = resolve_in(root, "/etc/machine-id")
    if machine_id.is_file() and machine_id.read_bytes():
        machine_id.write_bytes(b"")
    if _remove(root, _HOST_KEYS):
        log("removed the SSH host keys: each machine is to make its own (ssh-keygen -A)")
    removed = [_remove(root, name) for name in _SNAKE_OIL]
    if any(removed):
        _remove_dangling(resolve_in(root, "/etc/ssl/certs"))
        log(
            "removed the self-signed certificate of ssl-cert: each machine is to make its own "
            "(make-ssl-cert generate-default-snakeoil)"
        )


def clean(root: Path, log: Callable[[str], None]) -> None:
    """Remove caches, logs, locks and backups, too."""
    settle(root, log)
    for pattern in _NOT_NEEDED:
        _remove(root, pattern)


def _remove(root: Path, pattern: str) -> bool:
    """Remove what matches in one directory of the tree; whether there was anything."""
    directory, _, name = pattern.rpartition("/")
    place = resolve_in(root, directory)
    found = sorted(place.glob(name)) if place.is_dir() else []
    for path in found:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return bool(found)


def _remove_dangling(directory: Path) -> None:
    """Remove the links, by hash, to a certificate that is gone."""
    for path in directory.iterdir():
        if path.is_symlink() and path.readlink().name == "ssl-cert-snakeoil.pem":
            path.unlink()
