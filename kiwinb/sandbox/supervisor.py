"""Receive the notifications of a filter, record paths, and let the calls continue."""

from __future__ import annotations

import errno
import os
import platform
import re
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path

from kiwinb.libc import LIBC, libc_call
from kiwinb.sandbox.memory import Memory, interpreter_of
from kiwinb.sandbox.notify import (
    ANSWER,
    CONTINUE,
    FIRST_ARGUMENT,
    NOTE,
    SEND,
    SET_FLAGS,
    SYNC_WAKE_UP,
    Channel,
)
from kiwinb.sandbox.observation import Link
from kiwinb.sandbox.plans import plans
from kiwinb.sandbox.syscalls import (
    AF_UNIX,
    AT_EMPTY_PATH,
    AT_FDCWD,
    MACHINES,
    OPEN_MASK,
    Call,
)

_MOST = 2_000_000
_ODD = (b"/proc", b"/dev/")
MAGIC = re.compile(
    rb"/+(?:proc/+(?:self|thread-self|\d+)(?:/+task/+\d+)?/+(?:fd/+\d+|cwd|root)|dev/+fd/+\d+)(/.*)?",
    re.DOTALL,
)
_OWN = re.compile(rb"/+(?:proc/+(?:self|thread-self)|dev/+fd)/")
_DELETED = b" (deleted)"
_ENTERING = ("a mount", "another namespace")
_ROOTS_SECONDS = 0.2  # process ids are not reused so soon

Key = tuple[bytes, bytes, str, int]  # root, path, what, flags


@dataclass(frozen=True)
class _View:
    """How a process sees the files.

    Attributes:
        root: Its root directory, relative to that of the first process.
        prefix: What to put before a path that the kernel says of this process: it does not know
            the way to a tree that is the root directory of another mount namespace.
    """

    root: bytes
    prefix: bytes


class Supervisor:
    """Receiver of the notifications of a filter, until all its processes have ended.

    Args:
        listener: Descriptor of the filter.
        pid: The process that installed the filter.
        caged: A tree whose programs run in a cage, in which they cannot mount anything. So all
            mounts are those of kiwinb and bubblewrap, and read nothing of the tree. Without it, a
            mount makes the observation incomplete.

    Attributes:
        seen: Paths that were read.
        links: Links that were made, in order.
        incomplete: Why the observation is incomplete.
        notifications: Number of observed system calls.
    """

    def __init__(self, listener: int, pid: int, caged: Path | None = None) -> None:
        _arch, self._column, _seccomp = MACHINES[platform.machine()]
        self._channel = Channel(listener)
        self._memory = Memory()
        self._root = _readlink(f"/proc/{pid}/root".encode()).rstrip(b"/")
        self._root_descriptor = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY)
        self._root_descriptors = {b"/": self._root_descriptor}
        self._caged = caged.stat() if caged else None
        self._tree = os.fsencode(caged) if caged else b""
        self._roots_differ = False
        self._roots: dict[int, _View] = {}
        self._roots_until = 0.0
        self._images: dict[tuple[int, ...], bytes] = {}
        self.seen: set[Key] = set()
        self.links: dict[Link, None] = {}
        self.incomplete: set[str] = set()
        self.notifications = 0

    @property
    def interrupted(self) -> int:
        """Number of calls that a signal interrupted before they were received."""
        return self._channel.interrupted

    def run(self) -> None:
        """Answer notifications until all processes have ended, even after an error."""
        with suppress(OSError):
            ioctl(self._channel.listener, SET_FLAGS, SYNC_WAKE_UP)
        current = [0]
        try:
            self._follow(current)
        except Exception as error:
            self.incomplete.add(f"{type(error).__name__}: {error}")
            with suppress(OSError):
                self._channel.answer(current[0])
            self._channel.wave_through()

    def close(self) -> None:
        """Close the descriptors; to be called when no notifications can come any more."""
        os.close(self._channel.listener)
        for descriptor in self._root_descriptors.values():
            os.close(descriptor)

    def _follow(self, current: list[int]) -> None:
        """Run the loop, which has to be fast: it may run a hundred thousand times."""
        arch, column, _seccomp = MACHINES[platform.machine()]
        fast, slow = plans(arch, column)
        listener, receive = self._channel.listener, self._channel.receive
        unpack, pack = NOTE.unpack, ANSWER.pack
        memory, seen = self._memory, self.seen
        buffer, remote, readv = memory.buffer, memory.remote, memory.readv
        local, one, other, _one, zero = memory.arguments
        send, go_on = SEND, CONTINUE
        while (data := receive()) is not None:
            self.notifications += 1
            note = unpack(data)
            current[0] = note[0]
            if len(seen) > _MOST:
                raise OverflowError("too many paths")
            plan = fast.get(note[3])
            if plan is None:
                keys = self._look_closer(note, slow.get(note[3]))
            else:
                remote.base = note[plan.path]
                got = readv(note[1], local, one, other, one, zero)
                path: bytes | None = buffer.value
                if len(path) >= got:  # type: ignore[arg-type]
                    path = memory.string(note[1], note[plan.path])
                flags = note[plan.flags] & plan.mask if plan.flags else 0
                if path and path[0] == 47 and path[:5] not in _ODD:
                    root = self._root_of(note[1]) if self._roots_differ else b"/"
                    try:
                        ioctl(listener, send, pack(note[0], 0, 0, go_on))
                    except OSError:
                        continue  # the process ended, or a signal will cause another notification
                    seen.add((root, path, plan.what, flags))
                    continue
                directory = note[plan.directory] & 0xFFFFFFFF if plan.directory else AT_FDCWD
                keys = self._keys(note[1], directory, path, plan.what, flags)
            with suppress(OSError):
                self._channel.answer(note[0])
                seen.update(keys)

    # --- the less frequent cases ---

    def _look_closer(self, note: tuple[int, ...], call: Call | str | None) -> list[Key]:
        pid, arguments = note[1], note[FIRST_ARGUMENT:]
        if not isinstance(call, Call):
            if self._caged and call in _ENTERING:
                self._leave_root(pid)
            else:
                self.incomplete.add(call or "a system call of another architecture")
            return []
        keys: list[Key] = []
        for place, what in zip(call.paths, call.what, strict=True):
            directory = AT_FDCWD
            if place.directory is not None:
                directory = arguments[place.directory] & 0xFFFFFFFF
            flags = arguments[call.flags] & call.mask if call.flags is not None else 0
            root = None
            if what == "entry" and call.x86_64 == 316 and flags:
                what = "move"
            if what.startswith("socket"):
                path = self._socket_path(pid, arguments)
            else:
                path = self._memory.string(pid, arguments[place.argument])
            if what == "open2":
                what, (flags, root) = "open", self._how(pid, directory, arguments)
            found = self._keys(pid, directory, path, what, flags, root)
            if what == "chroot":
                self._leave_root(pid)
            elif what == "mount" and not self._caged:
                self.incomplete.add("a mount")
            keys += found
            if what == "execute":
                keys += [key for name in keys[-1:] for key in self._interpreters(name)]
        if call.what == ("symlink",) and keys:
            self._add_link(keys[0], self._memory.string(pid, arguments[0]))
        elif len(call.paths) == len(keys) == 2 and keys[0][0] == keys[1][0]:
            self._add_link(keys[1], keys[0][1])
            if keys[1][2] == "move":
                self._add_link(keys[0], keys[1][1])
        return keys

    def _leave_root(self, pid: int) -> None:
        self._roots_differ = True
        self._roots.clear()
        self._roots_until = 0.0  # this process still has its old root directory
        if len([*Path(f"/proc/{pid}/task").iterdir()]) > 1:
            self.incomplete.add("a program with several threads changed its root")

    def _add_link(self, key: Key, target: bytes | None) -> None:
        root, path, _what, _flags = key
        if target:
            self.links[Link(path, target, root)] = None

    def _socket_path(self, pid: int, arguments: tuple[int, ...]) -> bytes | None:
        size = min(arguments[2] & 0xFFFFFFFF, 110)
        if size < 3 or not arguments[1]:
            return None
        data = self._memory.read(pid, arguments[1], size)
        if struct.unpack_from("=H", data)[0] != AF_UNIX:
            return None
        return data[2:].partition(b"\0")[0] or None  # abstract names begin with a zero byte

    def _how(
        self, pid: int, directory: int, arguments: tuple[int, ...]
    ) -> tuple[int, bytes | None]:
        """Return the flags of ``openat2``, and its directory if it is used as the root."""
        flags, _mode, resolve = struct.unpack("=QQQ", self._memory.read(pid, arguments[2], 24))
        root = self._directory(pid, directory) if resolve & 0x10 else None
        return flags & OPEN_MASK, root

    def _keys(
        self,
        pid: int,
        directory: int,
        path: bytes | None,
        what: str,
        flags: int,
        root: bytes | None = None,
    ) -> list[Key]:
        """Return a path as an absolute path below a root; empty if the call does not use it."""
        if path is None or (not path and not flags & AT_EMPTY_PATH):
            return []  # the call will fail
        if root is None:
            root = self._root_of(pid) if self._roots_differ else b"/"
        if not path.startswith(b"/"):
            start = self._directory(pid, directory)
            if start is None:
                return []  # a pipe, a socket, or not a directory
            inside = _inside(root, start)
            if inside is None:
                self.incomplete.add(f"a directory outside its root: {os.fsdecode(start)}")
                return []
            path = inside.rstrip(b"/") + b"/" + path if path else inside
        if magic := MAGIC.match(path):
            return self._through_descriptor(pid, path, magic[1], what, flags)
        return [(root, path, what, flags)]

    def _through_descriptor(
        self, pid: int, path: bytes, rest: bytes | None, what: str, flags: int
    ) -> list[Key]:
        """Return the present target of a path such as /proc/self/fd/3."""
        view = self._view(pid) if self._roots_differ else _View(b"/", b"")
        if view.prefix and not _OWN.match(path):
            self.incomplete.add(f"a path through {os.fsdecode(path)}")
            return []
        link = path[: len(path) - len(rest or b"")]
        owner = f"/proc/{pid}".encode()
        link = re.sub(rb"^/+dev/+fd", owner + b"/fd", link)
        link = re.sub(rb"^/+proc/+(self|thread-self)(?=/)", owner, link)
        try:
            target = _readlink(link)
        except OSError:
            return []
        inside = _inside(self._root, view.prefix + target) if target.startswith(b"/") else None
        if inside is None:
            if target.startswith(b"/") and rest:
                self.incomplete.add(f"a path through {os.fsdecode(path)}")
            return []
        return [(b"/", inside.rstrip(b"/") + rest if rest else inside, what, flags)]

    def _root_of(self, pid: int) -> bytes:
        """Return the root directory of a process, relative to that of the first process."""
        return self._view(pid).root

    def _view(self, pid: int) -> _View:
        now = time.monotonic()
        if now > self._roots_until:
            self._roots.clear()
            self._roots_until = now + _ROOTS_SECONDS
        elif (known := self._roots.get(pid)) is not None:
            return known
        place = f"/proc/{pid}/root"
        try:
            path = _readlink(place.encode())
            if path == b"/" and self._caged and os.path.samestat(os.stat(place), self._caged):  # noqa: PTH116
                view = _View(self._tree, self._tree)
            else:
                root = _inside(self._root, path)
                if root is None:
                    raise OSError("a process has left its root directory")
                view = _View(root, b"")
        except (FileNotFoundError, ProcessLookupError):
            return _View(b"/", b"")  # it was killed, so that the call will not go on
        self._roots[pid] = view
        return view

    def _directory(self, pid: int, descriptor: int) -> bytes | None:
        """Return the path in the tree of a directory that a process has open; or ``None``."""
        name = "cwd" if descriptor == AT_FDCWD else f"fd/{descriptor}"
        try:
            path = _readlink(f"/proc/{pid}/{name}".encode())
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ESRCH):
                return None
            raise
        if not path.startswith(b"/"):
            return None
        if self._roots_differ:
            path = self._view(pid).prefix + path
        if path.endswith(_DELETED) and not os.path.lexists(path):
            path = path.removesuffix(_DELETED)
        inside = _inside(self._root, path)
        if inside is None:
            self.incomplete.add(f"a directory outside the tree: {os.fsdecode(path)}")
        return inside

    def _interpreters(self, key: Key) -> Iterator[Key]:
        """Yield the files that the kernel itself reads to execute a file: nested interpreters."""
        root, path, _what, _flags = key
        for _depth in range(6):
            path = self._interpreter(root, path)
            if not path:
                return
            if not path.startswith(b"/"):
                self.incomplete.add(f"a relative interpreter: {os.fsdecode(path)}")
                return
            yield root, path, "content", 0

    def _interpreter(self, root: bytes, path: bytes) -> bytes:
        descriptor = self._open_inside(root, path)
        if descriptor is None:
            return b""
        try:
            status = os.fstat(descriptor)
            identity = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
            if identity not in self._images:
                self._images[identity] = interpreter_of(descriptor)
            return self._images[identity]
        finally:
            os.close(descriptor)

    def _open_inside(self, root: bytes, path: bytes) -> int | None:
        """Open a file as a process with this root would; ``None`` if that is impossible."""
        how = struct.pack("=QQQ", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK, 0, 0x10)
        top = self._root_descriptors.get(root)
        if top is None:
            top = os.open(
                b"." + root, os.O_PATH | os.O_DIRECTORY, dir_fd=self._root_descriptors[b"/"]
            )
            self._root_descriptors[root] = top
        try:
            return libc_call(LIBC.syscall, 437, top, path, how, len(how))
        except OSError:
            return None


def _readlink(path: bytes) -> bytes:
    return os.readlink(path)  # noqa: PTH115 - bytes


def _inside(root: bytes, path: bytes) -> bytes | None:
    """Return a path relative to a root directory, as absolute; ``None`` if it is outside."""
    root = root.rstrip(b"/")
    if path == root:
        return b"/"
    return path[len(root) :] if path.startswith(root + b"/") else None
