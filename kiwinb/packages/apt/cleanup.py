"""Remove files of maintainer scripts, apt and dpkg that should not be in an image."""

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
"""Files with inode numbers, dates or random numbers, which differ between builds."""

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
    """Remove files that differ between builds, and keys that must differ between machines."""
    for pattern in _DIFFERS:
        _remove(root, pattern)
    machine_id = resolve_in(root, "/etc/machine-id")
    if machine_id.is_file() and machine_id.read_bytes():
        machine_id.write_bytes(b"")
    if _remove(root, _HOST_KEYS):
        log("removed the SSH host keys: each machine should make its own (ssh-keygen -A)")
    removed = [_remove(root, name) for name in _SNAKE_OIL]
    if any(removed):
        _remove_dangling(resolve_in(root, "/etc/ssl/certs"))
        log(
            "removed the self-signed certificate of ssl-cert: each machine should make its own "
            "(make-ssl-cert generate-default-snakeoil)"
        )


def clean(root: Path, log: Callable[[str], None]) -> None:
    """Do what :func:`settle` does, and also remove caches, logs, locks and backups."""
    settle(root, log)
    for pattern in _NOT_NEEDED:
        _remove(root, pattern)


def _remove(root: Path, pattern: str) -> bool:
    """Remove the files of a directory that match a pattern; tell whether there were any."""
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
    """Remove the hash links to the removed certificate."""
    for path in directory.iterdir():
        if path.is_symlink() and path.readlink().name == "ssl-cert-snakeoil.pem":
            path.unlink()
