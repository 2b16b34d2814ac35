"""The host as the attacks find it: canaries and listeners.

Everything here belongs to the suite and is removed at the end. What an attack achieved is decided
by what changed here, what was heard here, what a witness saw (``witness.py``), and by the secret,
which no attack knows, in what an attack printed.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import pwd
import secrets
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from store_program import Account

_libc = ctypes.CDLL(None, use_errno=True)
_librt = ctypes.CDLL("librt.so.1", use_errno=True)


@dataclass
class Host:
    """Canaries for the builds of one account.

    Attributes:
        account: Who builds.
        directory: A directory of the account, with the store and the description.
        secret: What is in every file that no attack may read.
        mark: A variable of the environment that all processes of the builds have.
        facts: Where things are, for the attacks.
        heard: What the listeners heard.
    """

    account: Account
    directory: Path
    home: Path
    secret: str
    mark: str
    terminal: int
    facts: dict[str, object] = field(default_factory=dict)
    heard: bytearray = field(default_factory=bytearray)
    shown: bytearray = field(default_factory=bytearray)
    disk: Path | None = None
    group: Path | None = None

    @property
    def canaries(self) -> Path:
        """Directory of the files that attacks try to change."""
        return self.home / "canaries"

    @property
    def cache(self) -> Path:
        """The download cache of the account."""
        return cache_of(self.account)

    def lay_out(self, labels: Iterator[str]) -> None:
        """Make a canary for each attack in each place; forget what was heard."""
        for label in labels:
            (self.canaries / label).write_text("untouched")
            (self.canaries / label).chmod(0o666)
        self.heard.clear()
        self.shown.clear()

    def settle(self) -> None:
        """Wait until the listeners have taken what was sent to them before."""
        for number in range(2):
            text = f"settled-{number}".encode()
            with socket.create_connection(("127.0.0.1", int(str(self.facts["tcp"])))) as item:
                item.sendall(text)
            while text not in self.heard.split():
                time.sleep(0.01)


def cache_of(account: Account) -> Path:
    """The download cache of an account."""
    named = os.environ.get("KIWINB_CACHE")
    if named and account.user == pwd.getpwuid(os.getuid()).pw_name:
        return Path(named)
    return Path(pwd.getpwnam(account.user).pw_dir, ".cache/kiwinb/downloads")


@contextmanager
def attacked_host(account: Account) -> Iterator[Host]:
    """Lay out what attacks aim at, for builds of an account."""
    with ExitStack() as stack:
        directory = stack.enter_context(account.directory())
        home = Path(tempfile.mkdtemp(prefix=".kiwinb-attack-", dir=_home(account)))
        stack.callback(shutil.rmtree, home)
        master, slave = os.openpty()
        stack.callback(os.close, master)
        stack.callback(os.close, slave)
        give(Path(os.ttyname(slave)), account)
        mark = "kiwinb-mark-" + secrets.token_hex(8)
        host = Host(account, directory, home, secrets.token_hex(16), mark, slave)
        host.facts |= {
            **{"mark": mark, "store": str(directory / "store"), "cache": str(host.cache)},
            **{"terminal": os.ttyname(slave), "canaries": str(host.canaries)},
        }
        _files(host, stack)
        _listeners(host, stack, master)
        _messages(host, stack)
        host.facts |= _disk(host, stack)
        host.group = _control_group(host, stack)
        yield host


def _home(account: Account) -> str:
    return pwd.getpwnam(account.user).pw_dir


def give(path: Path, account: Account) -> None:
    """Make a file or directory an account's own."""
    if os.getuid() == 0:
        shutil.chown(path, account.user)


def _files(host: Host, stack: ExitStack) -> None:
    host.canaries.mkdir()
    traps = host.cache / f"{host.mark}-traps"
    stack.callback(partial(shutil.rmtree, traps, ignore_errors=True))
    secret = host.home / "secret"
    _write(secret, host.secret, 0o600)
    credentials = host.cache / f"apt/work/{host.mark}/auth.conf"
    made = [path for path in reversed(credentials.parents) if not path.exists()]
    credentials.parent.mkdir(parents=True)
    stack.callback(partial(shutil.rmtree, credentials.parent, ignore_errors=True))
    _write(credentials, host.secret, 0o600)
    for path in (host.home, host.canaries, secret, *made, credentials):
        give(path, host.account)
    etc = Path("/etc", host.mark) if os.getuid() == 0 else secret
    if etc != secret:
        _write(etc, host.secret, 0o600)
        stack.callback(etc.unlink)
    posix = Path("/dev/shm", host.mark)
    _write(posix, host.secret, 0o644)
    stack.callback(posix.unlink)
    host.facts |= {"secret": str(secret), "credentials": str(credentials)}
    host.facts |= {"etc": str(etc), "posix": posix.name, "key": host.mark}


def _write(path: Path, text: str, mode: int) -> None:
    path.touch(mode)
    path.chmod(mode)
    path.write_text(text)


# ---- listeners ---------------------------------------------------------------------------


def _listeners(host: Host, stack: ExitStack, master: int) -> None:
    """Listen on the host's sockets and its terminal, until the end."""
    path = Path("/run" if os.getuid() == 0 else host.home, f"{host.mark}.sock")
    outside = _own_address()
    streams: Mapping[str, tuple[int, object]] = {
        "tcp": (socket.AF_INET, ("127.0.0.1", 0)),
        "tcp6": (socket.AF_INET6, ("::1", 0)),
        "outside": (socket.AF_INET, (outside, 0)),
        "abstract": (socket.AF_UNIX, "\0" + host.mark),
        "socket": (socket.AF_UNIX, str(path)),
    }
    selector = stack.enter_context(selectors.DefaultSelector())
    for name, (family, address) in streams.items():
        item = stack.enter_context(socket.socket(family))
        item.bind(address)  # type: ignore[arg-type]
        item.listen(64)
        selector.register(item, selectors.EVENT_READ, host.heard)
        host.facts[name] = address[1] if isinstance(address := item.getsockname(), tuple) else name
    datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    datagrams.bind(("127.0.0.1", 0))
    selector.register(datagrams, selectors.EVENT_READ, host.heard)
    selector.register(master, selectors.EVENT_READ, host.shown)
    path.chmod(0o666)
    stack.callback(path.unlink)
    sniffed = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sniffed.bind(("127.0.0.1", 0))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host.facts["free"] = free.getsockname()[1]
    host.facts |= {"abstract": host.mark, "socket": str(path), "address": outside}
    host.facts |= {"udp": datagrams.getsockname()[1]}
    host.facts["added"] = f"127.77.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"

    def send() -> None:
        text = f"kiwinb-sniffed:{host.secret}".encode()
        datagrams_out.sendto(text, sniffed.getsockname())
        with suppress(BlockingIOError):
            while sniffed.recv(4096, socket.MSG_DONTWAIT):
                pass

    datagrams_out = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    stack.enter_context(repeated(lambda: _listen(selector), 0))
    stack.enter_context(repeated(send, 0.05))


def _listen(selector: selectors.BaseSelector) -> None:
    for key, _events in selector.select(0.1):
        item = key.fileobj
        if isinstance(item, int):
            key.data.extend(os.read(item, 4096))
        elif isinstance(item, socket.socket) and item.type == socket.SOCK_DGRAM:
            key.data.extend(item.recv(4096) + b"\n")
        elif isinstance(item, socket.socket):
            with item.accept()[0] as other, suppress(OSError):
                other.settimeout(1)
                key.data.extend(other.recv(4096) + b"\n")


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as item:
        try:
            item.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            return "127.0.0.1"
        return str(item.getsockname()[0])


@contextmanager
def repeated(do: Callable[[], None], pause: float) -> Iterator[None]:
    """Do something again and again in a thread."""
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            do()
            ended.wait(pause)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


# ---- messages and disks ------------------------------------------------------------------


def _messages(host: Host, stack: ExitStack) -> None:
    """Leave the secret in shared memory, in a message queue and in the kernel's log."""
    key = 0x40000000 + secrets.randbelow(1 << 29)
    memory = _checked(_libc.shmget(key, 4096, 0o1666))
    stack.callback(_libc.shmctl, memory, 0, None)
    _libc.shmat.restype = ctypes.c_void_p
    place = _libc.shmat(memory, None, 0)
    ctypes.memmove(place, host.secret.encode(), len(host.secret))
    _libc.shmdt(ctypes.c_void_p(place))
    name = b"/" + host.mark.encode()
    queue = _checked(_librt.mq_open(name, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o666, None))
    stack.callback(_librt.mq_unlink, name)
    stack.callback(os.close, queue)
    for _ in range(8):
        _checked(_librt.mq_send(queue, host.secret.encode(), len(host.secret), 0))
    with suppress(OSError):
        Path("/dev/kmsg").write_text(f"{host.mark}:{host.secret}\n")
    host.facts |= {"shm": key, "queue": host.mark}


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _disk(host: Host, stack: ExitStack) -> dict[str, object]:
    """Make a disk of a file, with a file system that has the secret; for root only."""
    nothing = {"major": 7, "minor": 4000, "loop": "no-disk"}
    if os.getuid() != 0 or not Path("/dev/loop-control").exists():
        return nothing
    work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    (work / "content").mkdir()
    (work / "content/secret").write_text(host.secret)
    disk = work / f"disk-{host.secret}"
    disk.write_bytes(bytes(2 << 20))
    kind = ("-t", "ext4", "-O", "^has_journal")
    made: list[str | Path] = ["mke2fs", "-q", *kind, "-d", work / "content", disk]
    subprocess.run(made, check=True, capture_output=True)
    with disk.open("r+b") as file:
        file.write(f"untouched {host.secret}".encode())  # before the superblock
    found = subprocess.run(
        ["losetup", "--find", "--show", disk], check=False, capture_output=True, text=True
    )
    if found.returncode:
        return nothing
    device = Path(found.stdout.strip())
    stack.callback(partial(subprocess.run, ["losetup", "--detach", device], check=True))
    number = device.stat().st_rdev
    host.disk = disk
    return {"major": os.major(number), "minor": os.minor(number), "loop": device.name}


def _control_group(host: Host, stack: ExitStack) -> Path | None:
    """Make a control group for builds, whose name is a secret; ``None`` where it is not allowed."""
    for parent in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")):
        if (parent / "cgroup.procs").exists():
            group = parent / f"kiwinb-{host.secret}"
            try:
                group.mkdir()
            except OSError:
                return None
            stack.callback(group.rmdir)
            return group
    return None


# ---- builds ------------------------------------------------------------------------------


@contextmanager
def started(host: Host, program: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a program as the account, with a secret in its environment and a terminal."""
    folders = [str(program.parent), *os.environ.get("PYTHONPATH", "").split(":")]
    folders += [str(program.parent.parent / name) for name in ("build", "unit")]
    variables = {
        "HOME": _home(host.account),
        "PYTHONPATH": ":".join([*folders, str(program.parents[2])]),
        "KIWINB_TEST_MARK": host.mark,
        "KIWINB_CACHE": str(host.cache),
        "KIWINB_ATTACK_SECRET": host.secret,
    }
    words = [f"{name}={value}" for name, value in variables.items()]
    hidden = f"kiwinb-argument-{host.secret}"
    own = [sys.executable, str(program), *arguments, hidden]

    def enter() -> None:
        if host.group is not None:
            (host.group / "cgroup.procs").write_text("0")
        os.setsid()
        fcntl.ioctl(host.terminal, 0x540E, 0)  # TIOCSCTTY

    with subprocess.Popen(
        [*host.account.switch, "env", *words, *own],
        stdin=host.terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        errors="replace",
        preexec_fn=enter,
    ) as process:
        yield process
