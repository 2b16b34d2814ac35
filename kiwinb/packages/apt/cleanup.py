"""Remove files that maintainer scripts, apt and dpkg leave behind and that no image should have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kiwinb.packages.traces import BY_PRODUCTS, Traces, without_traces
from kiwinb.sandbox.paths import resolve_in
from kiwinb.sandbox.tree_files import read_text_in, write_in

TRACES = (
    "var/cache/apt/*.bin",
    "var/cache/apt/archives/lock",
    "var/cache/apt/archives/partial/*",
    "var/cache/debconf/*-old",
    "var/lib/apt/lists/lock",
    "var/lib/apt/lists/auxfiles",
    "var/lib/apt/lists/partial/*",
    "var/lib/dpkg/*-old",
    "var/lib/dpkg/lock*",
    "var/lib/dpkg/triggers/Lock",
    "var/log/alternatives.log",
    "var/log/apt/*",
    "var/log/bootstrap.log",
    "var/log/dpkg.log",
)
"""Caches, locks, backups and logs of apt and dpkg."""

_OF_PACKAGES = (
    "run/*",
    "var/cache/apt/archives/*.deb",
    "var/lib/apt/lists/*_*",
    "var/lib/dbus/machine-id",
    "var/lib/systemd/credential.secret",
    "var/lib/systemd/random-seed",
    "var/log/*.log",
    "var/tmp/*",
)
"""Files that differ between builds or have to differ between machines, if packages make them."""

_HOST_KEYS = ("etc/ssh/ssh_host_*_key*",)
_SNAKE_OIL = ("etc/ssl/private/ssl-cert-snakeoil.key", "etc/ssl/certs/ssl-cert-snakeoil.pem")
_MACHINE_ID = "/etc/machine-id"
_UNINITIALIZED = "uninitialized"


@contextmanager
def settled(root: Path, log: Callable[[str], None]) -> Iterator[None]:
    """Remove what packages make until the end and an image should not have.

    These are files that differ between builds, and keys and IDs that each machine has to make for
    itself. Files that are in the tree at the start stay, unless the packages change them.
    """
    keys, certificate = Traces.look(root, _HOST_KEYS), Traces.look(root, _SNAKE_OIL)
    with (
        _without_machine_id(root),
        without_traces(root, (*BY_PRODUCTS, *TRACES, *_OF_PACKAGES)),
    ):
        yield
        if keys.new():
            keys.remove_new()
            log("removed the SSH host keys that the packages made: each machine makes its own")
        if certificate.new():
            certificate.remove_new()
            _remove_dangling(resolve_in(root, "/etc/ssl/certs"))
            log(
                "removed the self-signed certificate of ssl-cert: each machine should make its own "
                "(make-ssl-cert generate-default-snakeoil)"
            )


@contextmanager
def _without_machine_id(root: Path) -> Iterator[None]:
    """Put back the content of the file, or empty a new one that has an ID; see machine-id(5)."""
    before = read_text_in(root, _MACHINE_ID)
    yield
    now = read_text_in(root, _MACHINE_ID)
    if now != before and now.strip() != _UNINITIALIZED:
        write_in(root, _MACHINE_ID, before)


def _remove_dangling(directory: Path) -> None:
    """Remove the hash links to the removed certificate."""
    for path in directory.iterdir():
        if path.is_symlink() and path.readlink().name == "ssl-cert-snakeoil.pem":
            path.unlink()
