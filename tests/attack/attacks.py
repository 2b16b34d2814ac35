"""The table of attacks: what each one tries, and what proves that it was successful.

A row belongs to the function of the same name in ``payloads.py``. The proof is something that the
host sees: see ``host.py`` and ``witness.py``. The one exception is ``Proof.ANSWER``, the kernel's
answer to a call of which nothing can be seen from outside, or must not be, such as to restart the
machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from payloads import ATTACKS

PLACES = {
    "C": "config.sh",
    "P": "a maintainer script",
    "H": "config-host-overlay.sh",
    "E": "edit_boot_install.sh",
}
"""Where attacks run, each with a letter."""


BUILDS = ("CPH", "E")
"""Places that one build has: ``H`` is in that of a container only, ``E`` in that of a disk."""

_ALL = "".join(PLACES)

DOCUMENT = Path(__file__).parents[2] / "docs/attacks.md"
"""The document that has the table."""


class Proof(Enum):
    """What tells that an attack was successful."""

    LOOT = "its output has the secret"
    CANARY = "the host's file is changed"
    PLANTED = "a file is in the store or in the cache"
    POOL = "a package in the pool is changed"
    HEARD = "the host's listener heard it"
    TERMINAL = "the user's terminal showed it"
    SEEN = "the host saw what it held"
    DISK = "the disk is changed"
    LEFT = "it runs after the build"
    ANSWER = "the kernel did not refuse it"


@dataclass(frozen=True)
class Attack:
    """A row of the table.

    Attributes:
        name: Its name, that of its function with hyphens.
        kind: What it is about.
        says: What it tries.
        proof: What proves that it was successful.
        sign: For :attr:`Proof.SEEN`, a regular expression of what the host sees.
        places: Letters of the places where it makes sense.
    """

    name: str
    kind: str
    says: str
    proof: Proof
    sign: str = ""
    places: str = "CPHE"


_LOOT, _CANARY, _PLANTED, _HEARD = Proof.LOOT, Proof.CANARY, Proof.PLANTED, Proof.HEARD
_SEEN, _ANSWER = Proof.SEEN, Proof.ANSWER


def _seen(name: str, kind: str, says: str, sign: str, places: str = "CPHE") -> Attack:
    return Attack(name, kind, says, _SEEN, sign, places)


FILES = "files of the host"
STORE = "store and cache"
PROCESSES = "processes"
NETWORK = "network"
MOUNTS = "mounts"
DEVICES = "devices"
KERNEL = "kernel"
MESSAGES = "messages"

TABLE = (
    Attack("root-of-process-read", FILES, "read a secret below `/proc/N/root`", _LOOT),
    Attack("root-of-process-write", FILES, "write a file below `/proc/N/root`", _CANARY),
    Attack("cwd-of-process-read", FILES, "read a secret through `/proc/N/cwd/..`", _LOOT),
    Attack("secret-in-etc", FILES, "read a file of root in the host's `/etc`", _LOOT),
    Attack("secret-in-etc-plainly", FILES, "the same by its own path", _LOOT, places="HE"),
    Attack("plain-path-read", FILES, "read a secret in a home directory", _LOOT, places="HE"),
    Attack("plain-path-write", FILES, "write a file in a home directory", _CANARY, places="HE"),
    Attack("chroot-walk-read", FILES, "leave the root directory by `chroot` and `..`", _LOOT),
    Attack("chroot-walk-write", FILES, "the same, and write a file", _CANARY),
    Attack("chroot-walk-remount", FILES, "the same, and remount the host writable", _CANARY),
    Attack("chroot-walk-bind", FILES, "the same, with a writable bind mount", _CANARY),
    Attack("host-mounts-below-proc", FILES, "unmount `/proc`, join the host's mounts", _CANARY),
    Attack("join-mount-namespace", FILES, "join the mounts of another process, read", _LOOT),
    Attack("join-mount-namespace-write", FILES, "the same, remount and write", _CANARY),
    Attack("join-user-namespace", FILES, "join the user namespace of another process", _LOOT),
    Attack("file-handle", FILES, "open the file system's root by its handle", _LOOT),
    Attack("open-tree", FILES, "copy a read-only mount and make it writable", _CANARY),
    Attack("store-write", STORE, "write into the store below `/proc/N/root`", _PLANTED),
    Attack("store-write-walking", STORE, "write into the store after the walk", _PLANTED),
    Attack("checkpoint-write", STORE, "change the result of another step", _PLANTED),
    Attack("pool-write", STORE, "write into the download cache", _PLANTED),
    Attack("credentials-read", STORE, "read apt's passwords in the cache", _LOOT),
    Attack("packages-in-tree", STORE, "change a package through its link", Proof.POOL, places="P"),
    Attack("environment-of-process", PROCESSES, "read the environment of kiwinb", _LOOT),
    Attack("own-environment", PROCESSES, "find secrets in its own environment", _LOOT),
    Attack("command-line-of-process", PROCESSES, "see the processes of the host", _LOOT),
    Attack("memory-of-process", PROCESSES, "read the memory of kiwinb", _LOOT),
    Attack("read-process-by-call", PROCESSES, "the same by `process_vm_readv`", _LOOT),
    _seen("trace-process", PROCESSES, "trace a process of kiwinb", "traced"),
    _seen("stop-process", PROCESSES, "send signals to a process of kiwinb", "stopped"),
    _seen(
        "steal-descriptor",
        PROCESSES,
        "take a descriptor of kiwinb",
        "fd pipe of kiwinb",
    ),
    Attack("pickle-into-events", PROCESSES, "have kiwinb unpickle a frame", _CANARY),
    Attack("inherited-descriptors", PROCESSES, "find inherited descriptors", _ANSWER),
    _seen("realtime", PROCESSES, "take real-time priority", "policy 1"),
    _seen("high-priority", PROCESSES, "raise its priority", "nice -20"),
    _seen("spared-by-oom-killer", PROCESSES, "be spared when memory is short", "oom -900"),
    Attack("daemon-left-behind", PROCESSES, "run on after the build", Proof.LEFT),
    _seen("nested-user-namespace", PROCESSES, "make a user namespace", "userns"),
    _seen("nested-user-namespace-by-clone", PROCESSES, "the same by `clone`", "userns"),
    Attack("control-group", PROCESSES, "see its control group on the host", _LOOT),
    _seen(
        "control-groups-of-host",
        PROCESSES,
        "stay in the host's namespace of control groups",
        "control groups of host",
    ),
    Attack("core-dump", PROCESSES, "leave a core dump to the host's handler", _ANSWER),
    Attack("loopback-tcp", NETWORK, "connect to a service on 127.0.0.1", _HEARD),
    Attack("loopback-udp", NETWORK, "send a datagram to a service on 127.0.0.1", _HEARD),
    Attack("loopback-tcp6", NETWORK, "connect to a service on ::1", _HEARD),
    Attack("address-of-host", NETWORK, "connect to the host's own address", _HEARD),
    Attack("abstract-socket", NETWORK, "connect to an abstract socket", _HEARD),
    Attack("path-socket", NETWORK, "connect to a socket in `/run`", _HEARD),
    Attack("path-socket-through-proc", NETWORK, "the same below `/proc/N/root`", _HEARD),
    Attack("path-socket-walking", NETWORK, "the same after the walk", _HEARD),
    Attack("join-network-namespace", NETWORK, "join the network of another process", _HEARD),
    _seen("listen-on-host", NETWORK, "listen on a port of the host", "listens"),
    Attack("raw-socket", NETWORK, "send raw packets", _HEARD),
    Attack("packet-socket", NETWORK, "listen to the traffic of the host", _LOOT),
    _seen("change-network", NETWORK, "configure a network device", "^address"),
    _seen("network-of-its-own", NETWORK, "the same in its own network", "own network"),
    _seen("raw-socket-of-its-own", NETWORK, "have a raw socket in its own network", "raw socket"),
    Attack("machine-socket", NETWORK, "talk to the hypervisor (vsock)", _ANSWER),
    Attack("rare-sockets", NETWORK, "load protocols that nobody uses", _ANSWER),
    _seen("mount-proc", MOUNTS, "mount a new `/proc`, write settings", "write .*core_pattern"),
    _seen("mount-sysfs", MOUNTS, "mount a new `/sys`, write settings", "write .*rcu_expedited"),
    _seen("mount-cgroups", MOUNTS, "mount the control groups", "write .*cgroup.procs"),
    Attack("mount-debugfs", MOUNTS, "mount the kernel's debugging files", _ANSWER),
    Attack("mount-devices", MOUNTS, "mount the host's `/dev`, read a disk", _LOOT),
    _seen("mount-binfmt", MOUNTS, "register an interpreter with the host", "host write .*register"),
    Attack("mount-block-device", MOUNTS, "mount a disk", _LOOT),
    _seen("mount-over-kiwinb", MOUNTS, "mount over what kiwinb uses", "mount"),
    _seen("remount-sys", MOUNTS, "make `/sys` writable", "write .*rcu_expedited"),
    _seen("remount-proc-sys", MOUNTS, "make `/proc/sys` writable", "write .*core_pattern"),
    _seen("uncover-proc-sys", MOUNTS, "unmount what hides `/proc/sys`", "write .*core_pattern"),
    _seen("remount-sysrq", MOUNTS, "make `sysrq-trigger` writable", "write .*sysrq-trigger"),
    _seen("write-proc-sys", MOUNTS, "write settings of the kernel", "write .*core_pattern"),
    _seen("write-proc-others", MOUNTS, "write others in `/proc`", "write .*(smp|mtrr|drop)"),
    _seen("write-sys", MOUNTS, "write settings in `/sys`", "write .*rcu_expedited"),
    Attack("disks-in-sys", MOUNTS, "see the disks of the host in `/sys`", _LOOT),
    _seen("write-cgroup", MOUNTS, "leave its control group", "write .*(cgroup.procs|agent)"),
    Attack("block-device-read", DEVICES, "make a node of a disk and read it", _LOOT),
    Attack("block-device-write", DEVICES, "make a node of a disk and write it", Proof.DISK),
    Attack("node-of-description", DEVICES, "open a node that an archive brings", _LOOT, places="C"),
    Attack("kernel-messages", DEVICES, "read the kernel's log from a node", _LOOT),
    _seen("device-fuse", DEVICES, "open `/dev/fuse` by a node", "device c 10:229"),
    _seen("device-loop-control", DEVICES, "open `/dev/loop-control`", "device c 10:237"),
    _seen("device-kvm", DEVICES, "open `/dev/kvm` by a node", "device c 10:232"),
    _seen("device-console", DEVICES, "open the console by a node", "device c 5:1"),
    _seen("device-memory", DEVICES, "open `/dev/mem` by a node", "device c 1:1"),
    _seen("devices-of-dev", DEVICES, "open devices in `/dev`", "device c"),
    Attack("terminal-write", DEVICES, "write on the user's terminal", Proof.TERMINAL),
    Attack("terminal-input", DEVICES, "type on the user's terminal (TIOCSTI)", Proof.TERMINAL),
    _seen("bpf-program", KERNEL, "load a BPF program", "fd anon_inode:bpf-prog"),
    _seen("bpf-map", KERNEL, "make a BPF map", "fd anon_inode:bpf-map"),
    _seen("performance-events", KERNEL, "watch the whole machine", "fd anon_inode:.perf_event"),
    _seen("performance-events-of-itself", KERNEL, "use perf", "fd anon_inode:.perf_event"),
    _seen("io-uring", KERNEL, "use io_uring", "fd anon_inode:.io_uring"),
    _seen("userfaultfd", KERNEL, "use userfaultfd", "fd anon_inode:.userfaultfd"),
    _seen("fanotify", KERNEL, "decide on accesses to files", "fd anon_inode:.fanotify"),
    Attack("keyring", KERNEL, "read a key of the user's session", _LOOT),
    Attack("set-clock", KERNEL, "change the clock", _ANSWER),
    Attack("kernel-log", KERNEL, "read the kernel's log by a call", _LOOT),
    Attack("ports", KERNEL, "use input and output ports", _ANSWER),
    Attack("load-module", KERNEL, "load a module", _ANSWER),
    Attack("load-kernel", KERNEL, "load another kernel (kexec)", _ANSWER),
    Attack("reboot", KERNEL, "restart the machine", _ANSWER),
    Attack("swap", KERNEL, "add swap space", _ANSWER),
    _seen("host-name", KERNEL, "change the name of the host", "hostname"),
    Attack("kernel-memory", KERNEL, "read the kernel's memory", _ANSWER),
    Attack("kernel-addresses", KERNEL, "read the kernel's addresses", _ANSWER),
    Attack("shared-memory", MESSAGES, "read System V shared memory", _LOOT),
    Attack("message-queue", MESSAGES, "read a POSIX message queue", _LOOT),
    Attack("dev-shm", MESSAGES, "read POSIX shared memory", _LOOT),
)
"""All attacks that share a build."""

BY_NAME = {row.name: row for row in TABLE}

assert {*BY_NAME} <= {*ATTACKS}, {*BY_NAME} - {*ATTACKS}


@dataclass(frozen=True)
class Missing:
    """What becomes possible without one protection of the cage.

    Attributes:
        rows: Attacks that are successful without it, and only then.
        as_root: More of them, in builds of root.
        also: Protections that have to be missing as well, because they stop the same attacks.
    """

    rows: tuple[str, ...]
    as_root: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


MISSING = {
    "user_namespace": Missing(
        (), ("mount-devices", "bpf-map", "swap"), also=("system_calls", "capabilities")
    ),
    "process_namespace": Missing(("root-of-process-read", "store-write", "pool-write")),
    "network_namespace": Missing(("loopback-tcp", "loopback-udp", "abstract-socket")),
    "other_namespaces": Missing(("control-groups-of-host",)),
    "system_calls": Missing(("nested-user-namespace", "io-uring", "keyring")),
    "capabilities": Missing(("network-of-its-own", "raw-socket-of-its-own")),
    "masks": Missing(("disks-in-sys",), ("write-proc-sys",)),
}
"""By the name of the protection, which is that of a field of ``kiwinb.sandbox.cage.Cage``."""


def markdown() -> str:
    """The document about the attacks; ``python tests/attack/attacks.py`` writes it."""
    lines = [
        "# Attacks",
        "",
        "<!-- Written by python tests/attack/attacks.py; change the table there instead. -->",
        "",
        "`tests/attack/` attacks the host from inside of builds, as root and rootless, and fails",
        "if an attack is successful. Each one runs in these places, unless the table names some:",
        "",
        *(f"- {letter}: {place}" for letter, place in PLACES.items()),
        "",
        "What decides is not what the attack says, but what the host sees of it: the last column.",
    ]
    for kind in dict.fromkeys(row.kind for row in TABLE):
        lines += ["", f"## {kind[0].upper()}{kind[1:]}", ""]
        lines += ["| Attack | It tries to | Where | It is successful if |", "|---|---|---|---|"]
        for row in TABLE:
            if row.kind == kind:
                places = ", ".join(row.places) if row.places != _ALL else "all"
                lines.append(f"| `{row.name}` | {row.says} | {places} | {row.proof.value} |")
    lines += ["", "## Protections", "", "The suite also switches off each protection of the cage,"]
    lines += ["and sees attacks that are successful then:", ""]
    lines += ["| Protection | Without it | As root, also |", "|---|---|---|"]
    for name, missing in MISSING.items():
        title = f"`{name}`"
        if missing.also:
            others = " and ".join(f"`{item}`" for item in missing.also)
            title += f", where {others} are off, too"
        names = (", ".join(f"`{row}`" for row in rows) for rows in (missing.rows, missing.as_root))
        lines.append(f"| {title} | {' | '.join(names)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    DOCUMENT.write_text(markdown())
