"""Remove files that packages and package managers leave behind and no image should have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kiwinb.packages.traces import BY_PRODUCTS, Traces, without_traces
from kiwinb.sandbox.paths import resolve_in
from kiwinb.sandbox.tree_files import read_text_in, write_in

_OF_PACKAGES = (
    "run/*",
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
def settled(root: Path, log: Callable[[str], None], traces: Sequence[str]) -> Iterator[None]:
    """Remove what packages make until the end and an image should not have.

    These are files that differ between builds, and keys and IDs that each machine has to make for
    itself. Files that are in the tree at the start stay, unless the packages change them.

    Args:
        root: The root tree.
        log: Called with a line for each key that is removed.
        traces: Files that the package manager leaves behind; see :mod:`kiwinb.packages.traces`.
    """
    keys, certificate = Traces.look(root, _HOST_KEYS), Traces.look(root, _SNAKE_OIL)
    with (
        _without_machine_id(root),
        without_traces(root, (*BY_PRODUCTS, *traces, *_OF_PACKAGES)),
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
