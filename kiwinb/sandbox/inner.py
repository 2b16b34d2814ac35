"""Make a user namespace inside a worker's, for programs that the worker does not trust.

It maps each ID to itself. Root of this namespace has power over the files of the tree, but not
over anything that belongs to the worker's own namespace: its mounts, devices, network and kernel.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from kiwinb.sandbox.mounts import MS_PRIVATE, MS_REC, mount
from kiwinb.sandbox.namespaces import CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWUSER, join, unshare
from kiwinb.sandbox.privilege import namespaces_denied


class InnerNamespace:
    """A user namespace, with a network namespace that has nothing but its own loopback device.

    Attributes:
        user: Descriptor of the user namespace.
        network: Descriptor of the network namespace.
    """

    def __init__(self, user: int, network: int, mounts: int) -> None:
        self.user = user
        self.network = network
        self._mounts = mounts  # what was mounted in the namespace lasts as long as this is open

    def join(self) -> None:
        """Move this process, which must have a single thread, into the user namespace.

        The process also gets a new mount namespace, so that it can mount file systems.

        Raises:
            OSError: The kernel refuses it.
        """
        join(self.user, CLONE_NEWUSER)
        unshare(CLONE_NEWNS)

    def close(self) -> None:
        """Release the namespaces, which end with the last process in them."""
        for descriptor in (self.user, self.network, self._mounts):
            os.close(descriptor)


def make_inner_namespace(prepare: Callable[[], None] | None = None) -> InnerNamespace:
    """Make the namespace; for use in a worker.

    Args:
        prepare: Called in the namespace, by a process with a mount namespace of its own.

    Raises:
        HostError: The host does not allow it.
        OSError: ``prepare`` raised it.
    """
    reading, told = os.pipe()
    heard, writing = os.pipe()
    maps = {name: _own_map(name) for name in ("uid_map", "gid_map")}
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.close(writing)
        _run_child(prepare, told, heard)
    os.close(told)
    os.close(heard)
    try:
        _expect_success(reading)
        for name, lines in maps.items():
            Path(f"/proc/{child}/{name}").write_text(lines)
        os.write(writing, b"\n")
        _expect_success(reading)
        names = ("user", "net", "mnt")
        return InnerNamespace(
            *(os.open(f"/proc/{child}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in names)
        )
    finally:
        os.close(writing)
        os.close(reading)
        os.waitpid(child, 0)


def _run_child(prepare: Callable[[], None] | None, told: int, heard: int) -> NoReturn:
    """Make the namespaces, and prepare them once the IDs are mapped."""
    what = b"namespace"
    try:
        unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET)
        os.write(told, b"\n")
        if os.read(heard, 1):
            what = b"prepare"
            mount("none", "/", None, MS_REC | MS_PRIVATE)
            if prepare is not None:
                prepare()
            os.write(told, b"\n")
            os.read(heard, 1)
    except OSError as error:
        os.write(told, b"%s %d" % (what, error.errno or 0))
    finally:
        os._exit(0)


def _expect_success(reading: int) -> None:
    """Wait until the child process has finished a part of its work."""
    answer = os.read(reading, 100)
    if answer == b"\n":
        return
    what, _, number = answer.decode().partition(" ")
    code = int(number or 5)
    error = OSError(code, os.strerror(code))
    if what != "prepare":
        raise namespaces_denied(error, rootless=os.getuid() != 0)
    raise error


def _own_map(name: str) -> str:
    """Return lines that map every ID of this user namespace to itself in a child namespace."""
    lines = [line.split() for line in Path("/proc/self", name).read_text().splitlines()]
    return "".join(f"{inside} {inside} {count}\n" for inside, _outside, count in lines)
