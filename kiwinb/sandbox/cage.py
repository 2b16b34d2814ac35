"""The cage in which programs run that kiwinb does not trust, made by bubblewrap; see bwrap(1).

A program in the cage has the tree, or a view of the host, as its root directory, and sees nothing
else of the host: no process, no network, no socket, no device and no kernel setting. It is root in
a user namespace of its own, so it has power over the files of the tree only.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kiwinb.sandbox.tools import find_tool

CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)
"""What root may do in the cage: give files to users, become users, and enter directories."""

_READ_ONLY = ("sys", "sysrq-trigger", "irq", "bus", "fs", "tty", "driver")
_HIDDEN = (
    *("acpi", "asound", "kcore", "kmsg", "kallsyms", "keys", "key-users", "kpagecgroup"),
    *("kpagecount", "kpageflags", "latency_stats", "modules", "sched_debug", "scsi", "slabinfo"),
    *("timer_list", "config.gz", "vmallocinfo", "diskstats", "partitions", "mdstat"),
)
"""Names in ``/proc`` that programs may not write to, and that are empty for them."""

_PROCESSORS = "/sys/devices/system/cpu"


@dataclass(frozen=True)
class Cage:
    """What keeps a program in its cage. Only the tests of the cage leave a protection out.

    Attributes:
        user_namespace: Its root is not the root of the worker.
        process_namespace: It sees its own processes only.
        network_namespace: It has a network of its own, without a way out unless it is given one.
        other_namespaces: So are its System V and POSIX message queues, host name and control group.
        system_calls: A filter keeps it from calls that no program of a tree needs.
        capabilities: Its root has the capabilities of :data:`CAPABILITIES` only.
        masks: Settings of the kernel in ``/proc`` are read-only or hidden, and ``/sys`` is empty.
    """

    user_namespace: bool = True
    process_namespace: bool = True
    network_namespace: bool = True
    other_namespaces: bool = True
    system_calls: bool = True
    capabilities: bool = True
    masks: bool = True


@dataclass(frozen=True)
class Bound:
    """A file or directory of the worker that a program sees at another place.

    Attributes:
        source: Path in the worker.
        target: Path for the program, without symbolic links.
        writable: Whether the program may write to it.
    """

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True)
class Kernel:
    """Where a program finds the file systems of the kernel; no path has symbolic links.

    Attributes:
        proc: Directory for the file system of processes.
        dev: Directory for devices.
        sys: Directory for the file system of the kernel.
    """

    proc: str = "/proc"
    dev: str = "/dev"
    sys: str = "/sys"


@dataclass(frozen=True)
class View:
    """The files that a program sees.

    Attributes:
        bound: Files and directories, in the order in which they are mounted.
        links: Targets and paths of symbolic links.
        kernel: File systems of the kernel; several for a program that enters a tree in the view.
        empty: Directories that are empty file systems in memory, before anything is mounted.
        hidden: Files and directories that are empty for the program.
    """

    bound: tuple[Bound, ...]
    links: tuple[tuple[str, str], ...] = ()
    kernel: tuple[Kernel, ...] = (Kernel(),)
    empty: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()


def command(
    cage: Cage,
    view: View,
    rules: str,
    argv: Sequence[str],
    *,
    cwd: str = "/",
    network: bool = False,
    capabilities: Sequence[str] = CAPABILITIES,
) -> list[str]:
    """Return the command line of bubblewrap that runs a program in a cage.

    Whoever executes it has entered the user namespace of the program before.

    Args:
        cage: What keeps the program in.
        view: The files that it sees.
        rules: Descriptor of a file with the filter of system calls.
        argv: The program and its arguments.
        cwd: Working directory of the program.
        network: Whether the program stays in the network namespace of the caller.
        capabilities: The capabilities of root in the cage.

    Raises:
        HostError: bubblewrap is not installed.
    """
    return [
        *(find_tool("bwrap"), "--die-with-parent", "--new-session", "--chdir", cwd),
        *_namespaces(cage, network=network),
        *_mounts(cage, view),
        *_powers(cage, rules, capabilities),
        *("--", *argv),
    ]


def _namespaces(cage: Cage, *, network: bool) -> list[str]:
    words = ["--unshare-pid"] if cage.process_namespace else []
    if cage.other_namespaces:
        words += ["--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
        words += ["--hostname", "localhost"]
    words += ["--unshare-net"] if cage.network_namespace and not network else []
    return words


def _mounts(cage: Cage, view: View) -> list[str]:
    words = [word for place in view.empty for word in ("--tmpfs", place)]
    for item in view.bound:
        words += ["--bind" if item.writable else "--ro-bind", str(item.source), item.target]
    for target, place in view.links:
        words += ["--symlink", target, place]
    for place in view.hidden:
        words += _hiding(place, directory=Path(place).is_dir())
    for kernel in view.kernel:
        words += _kernel(cage, kernel)
    return words


def _kernel(cage: Cage, place: Kernel) -> list[str]:
    words = ["--proc"] if cage.process_namespace else ["--bind", "/proc"]
    words += [place.proc, "--dev", place.dev]
    if not cage.masks:
        return [*words, "--bind", "/sys", place.sys]
    words += ["--tmpfs", place.sys]
    if Path(_PROCESSORS).is_dir():
        processors = place.sys + _PROCESSORS.removeprefix("/sys")
        words += ["--ro-bind", _PROCESSORS, processors]
    words += ["--dir", f"{place.sys}/kernel", "--dir", f"{place.sys}/class"]
    words += ["--remount-ro", place.sys]
    for name in _READ_ONLY:
        if Path("/proc", name).exists():
            words += ["--ro-bind", f"/proc/{name}", f"{place.proc}/{name}"]
    for name in _HIDDEN:
        own = Path("/proc", name)
        if own.exists():
            words += _hiding(f"{place.proc}/{name}", directory=own.is_dir())
    return words


def _hiding(place: str, *, directory: bool) -> list[str]:
    if directory:
        return ["--tmpfs", place, "--remount-ro", place]
    return ["--ro-bind", os.devnull, place]


def _powers(cage: Cage, rules: str, capabilities: Sequence[str]) -> list[str]:
    words = ["--cap-drop", "ALL"] if cage.capabilities else ["--cap-add", "ALL"]
    if cage.capabilities:
        words += [word for name in capabilities for word in ("--cap-add", name)]
    words += ["--seccomp", rules] if cage.system_calls else []
    return words
