"""Find out whether workers run as root on the host, or as root in a user namespace."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kiwinb.errors import HostError
from kiwinb.sandbox.tools import find_tool

_CAP_SYS_ADMIN = 21
_LAST_ID = 65535  # a tree may have any 16-bit owner; 65534 is nobody


@dataclass(frozen=True)
class IdRange:
    """A range of user or group IDs in a user namespace, and the IDs outside that they map to.

    Attributes:
        inside: First ID inside the namespace.
        outside: First ID outside the namespace.
        count: Number of IDs.
    """

    inside: int
    outside: int
    count: int


@dataclass(frozen=True)
class Privilege:
    """How a worker becomes root.

    Attributes:
        rootless: Whether it is in a user namespace, where the kernel does not allow device nodes.
        uids: User IDs of a new user namespace; empty if no new one is needed.
        gids: Group IDs of a new user namespace.
    """

    rootless: bool
    uids: tuple[IdRange, ...] = ()
    gids: tuple[IdRange, ...] = ()

    def owns(self, uid: int) -> bool:
        """Tell whether workers can use a user ID of this host as the owner of files."""
        return not self.uids or any(
            item.outside <= uid < item.outside + item.count for item in self.uids
        )


def detect() -> Privilege:
    """Find out how workers of this process become root.

    Raises:
        HostError: They cannot become root; the remedy says what the host lacks.
    """
    if os.geteuid() == 0:
        return _as_root()
    find_tool("newuidmap")
    find_tool("newgidmap")
    _check_sysctls()
    user = _user_name()
    return Privilege(
        rootless=True,
        uids=(IdRange(0, os.getuid(), 1), *_subordinate(Path("/etc/subuid"), user)),
        gids=(IdRange(0, os.getgid(), 1), *_subordinate(Path("/etc/subgid"), user)),
    )


def _as_root() -> Privilege:
    status = dict(
        line.split(":\t", 1)
        for line in Path("/proc/self/status").read_text().splitlines()
        if ":\t" in line
    )
    if not int(status["CapEff"], 16) >> _CAP_SYS_ADMIN & 1:
        raise HostError(
            "root may not mount file systems here (the capability CAP_SYS_ADMIN is missing)",
            remedy="In a container: give it --privileged, or run kiwinb on the host.",
        )
    mapped = sum(int(line.split()[2]) for line in _read("/proc/self/uid_map").splitlines())
    if mapped < _LAST_ID:
        raise HostError(
            f"only {mapped} user ids are mapped into this container",
            remedy=f"{_LAST_ID + 1} are needed: give the container more, or run on the host.",
        )
    return Privilege(rootless=mapped < 2**32 - 1)


def _subordinate(file: Path, user: str) -> Iterator[IdRange]:
    """Yield the user's ranges in subuid(5) or subgid(5), mapped to the IDs from 1 on."""
    inside = 1
    for line in _read(file).splitlines():
        owner, _, rest = line.partition(":")
        first, _, count = rest.partition(":")
        if owner in (user, str(os.getuid())) and first.isdecimal() and count.strip().isdecimal():
            yield IdRange(inside, int(first), int(count))
            inside += int(count)
    if inside <= _LAST_ID:
        what = "uids" if file.name == "subuid" else "gids"
        raise HostError(
            f"{file} gives the user {user} {inside - 1} subordinate ids; {_LAST_ID} are needed",
            remedy=f"Run: sudo usermod --add-sub{what} 100000-165535 {user}"
            f" (choose a range that {file} does not give to anybody else)",
        )


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _check_sysctls() -> None:
    for name, remedy in (
        ("kernel/unprivileged_userns_clone", "sudo sysctl kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "sudo sysctl user.max_user_namespaces=10000"),
    ):
        if _read(f"/proc/sys/{name}").strip() == "0":
            raise HostError(
                "this host does not allow user namespaces to ordinary users",
                remedy=f"Run: {remedy} (or run kiwinb as root)",
            )


def namespaces_denied(error: OSError, *, rootless: bool) -> HostError:
    """Make the error for a kernel that refuses namespaces, or mounts in them.

    Args:
        error: The error of the kernel.
        rootless: Whether the worker is in a user namespace.
    """
    if rootless and _read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").strip() == "1":
        remedy = (
            "AppArmor restricts user namespaces on this host. Run: "
            "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0 (or run kiwinb as root)"
        )
    else:
        remedy = (
            "In a container: give it --privileged. Otherwise a security module forbids it; "
            "run kiwinb as root."
        )
    return HostError(f"this host does not allow namespaces: {error}", remedy=remedy)


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
