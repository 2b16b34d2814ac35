"""Connect the network of a cage with the outside, by slirp4netns; see slirp4netns(1).

The programs reach what this host reaches, but not its loopback addresses and abstract sockets, and
nothing reaches them.
"""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kiwinb.errors import HostError
from kiwinb.sandbox.inner import InnerNamespace
from kiwinb.sandbox.streams import memory_file, tail
from kiwinb.sandbox.tools import find_tool

NAME_SERVER = "10.0.2.3"
"""The address at which slirp4netns answers queries for names, with the help of the host."""

_DEVICE = "tap0"
_TUN = "/dev/net/tun"
_READY_SECONDS = 20.0
_END_SECONDS = 5.0
_KEPT = ("search", "options")


@contextmanager
def connected(inner: InnerNamespace) -> Iterator[None]:
    """Connect a network namespace with the outside; for use in a worker.

    Raises:
        HostError: slirp4netns is not installed, or does not work here.
    """
    _check_device()
    ready, told = os.pipe()
    heard, ending = os.pipe()
    own = f"/proc/{os.getpid()}/fd"
    with memory_file() as said:
        process = subprocess.Popen(
            [
                *(find_tool("slirp4netns"), "--configure", "--mtu=65520"),
                *("--disable-host-loopback", "--enable-sandbox", "--enable-seccomp"),
                *(f"--ready-fd={told}", f"--exit-fd={heard}"),
                *("--netns-type=path", f"--userns-path={own}/{inner.user}"),
                *(f"{own}/{inner.network}", _DEVICE),
            ],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            pass_fds=(told, heard),
        )
        os.close(told)
        os.close(heard)
        try:
            select.select([ready], [], [], _READY_SECONDS)
            if not os.read(ready, 1):
                raise HostError(
                    "the network of the scripts cannot be connected with that of this host: "
                    f"{tail(said)}",
                    remedy="Build without --network, or see slirp4netns(1).",
                )
            yield
        finally:
            os.close(ending)
            os.close(ready)
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _check_device() -> None:
    """Raise an error if network devices cannot be made here."""
    try:
        os.close(os.open(_TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise HostError(
            f"the network of the scripts cannot be connected: {_TUN}: {error.strerror}",
            remedy=f"Let every user use it: sudo modprobe tun; sudo chmod 0666 {_TUN}",
        ) from None


def resolv_conf() -> bytes:
    """Return the content of ``/etc/resolv.conf`` for programs in a connected cage."""
    lines = [f"nameserver {NAME_SERVER}"]
    with suppress(OSError, UnicodeDecodeError):  # the host has none
        text = Path("/etc/resolv.conf").read_text()
        lines += [line for line in text.splitlines() if line.partition(" ")[0] in _KEPT]
    return "".join(f"{line}\n" for line in lines).encode()
