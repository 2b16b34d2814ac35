"""Run commands inside a root tree."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from types import TracebackType

from kiwinb.errors import CommandError
from kiwinb.sandbox.command import Log, execute
from kiwinb.sandbox.foreign import Emulation, emulated
from kiwinb.sandbox.mounts import MS_NODEV, MS_NOEXEC, MS_NOSUID, bind, mount, unmount
from kiwinb.sandbox.paths import resolve_in

ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "TERM": "dumb",
}
"""The whole environment of a command, but for what its caller adds."""

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "fd/0",
    "stdout": "fd/1",
    "stderr": "fd/2",
    "ptmx": "pts/ptmx",
}
_RESOLV_CONF = "/etc/resolv.conf"
_STOP_SECONDS = 2.0


class Chroot:
    """A root tree in which commands can run; a context manager, for use in a worker.

    While it is open the tree has /proc, /sys (read-only), a small /dev, an empty /run and the
    host's name resolution. When it closes, what still runs in the tree is stopped, and nothing
    of this is left in the tree; files that commands left in /tmp are removed too. A command that
    replaces /etc/resolv.conf or writes to it has changed the tree: that is kept. Programs for
    another architecture than the host's run by emulation; see :mod:`kiwinb.sandbox.foreign`.

    Args:
        root: The root tree.
        log: Takes each line of output of the commands.
        name_resolution: Lend the tree the host's resolv.conf.
    """

    def __init__(self, root: Path, *, log: Log | None = None, name_resolution: bool = True) -> None:
        self._root = root
        self._name_resolution = name_resolution
        self._log = log
        self._leave = ExitStack()
        self._emulation: Emulation | None = None

    def __enter__(self) -> Chroot:
        with ExitStack() as stack:
            self._leave = stack
            self._mount_file_systems()
            if self._name_resolution:
                self._lend_resolv_conf()
            self._guard_tmp()
            run = resolve_in(self._root, "/run")  # a tmpfs now: a trial leaves no trace
            self._emulation = stack.enter_context(emulated(self._root, run))
            stack.callback(self._stop_processes)
            self._leave = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave.close()

    def join(self) -> None:
        """Bring a new process to where programs of the tree run; it may be told to by `enter`.

        It has no effect if the host itself runs programs of the tree's architecture.
        """
        if self._emulation:
            self._emulation.join()

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        input: str | bytes | None = None,
        cwd: str = "/",
        check: bool = True,
    ) -> str:
        """Run a command in the tree as root, and return what it printed to standard output.

        Args:
            argv: The command, looked up in the tree's PATH, and its arguments.
            env: Variables on top of :data:`ENVIRONMENT`.
            input: What it reads from standard input; nothing when not given.
            cwd: Working directory in the tree.
            check: Raise an error when the exit status is not zero.

        Raises:
            CommandError: It failed, or is not in the tree (status 127).
        """

        def enter() -> None:
            self.join()
            os.chroot(self._root)
            os.chdir(cwd)
            os.setgroups([0])
            os.umask(0o022)

        try:
            return execute(
                argv,
                executable=None,
                log=self._log,
                env={**ENVIRONMENT, **(env or {})},
                cwd=None,
                input=input,
                check=check,
                enter=enter,
            )
        except FileNotFoundError:
            raise CommandError(
                argv, 127, problem=f"{argv[0]} is not in the root tree, or its interpreter is not"
            ) from None

    def bind(self, source: Path, target: str, *, readonly: bool = True) -> None:
        """Show a file or directory of the host in the tree until the chroot closes.

        Args:
            source: On the host.
            target: Absolute path in the tree; made, and removed afterwards, if it is not there.
            readonly: Commands cannot write to it.
        """
        place = self._mount_point(target, directory=source.is_dir())
        bind(source, place, readonly=readonly, recursive=source.is_dir())
        self._leave.callback(unmount, place)

    def _mount_file_systems(self) -> None:
        safe = MS_NOSUID | MS_NODEV | MS_NOEXEC
        proc = self._mount("proc", "/proc", "proc", safe)
        for name in ("sys", "sysrq-trigger"):
            if (proc / name).exists():
                bind(proc / name, proc / name, readonly=True)
        self.bind(Path("/sys"), "/sys")
        dev = self._mount("tmpfs", "/dev", "tmpfs", MS_NOSUID, "mode=0755")
        for name in _DEVICES:
            (dev / name).touch()
            bind(Path("/dev", name), dev / name)
        for name, target in _DEVICE_LINKS.items():
            (dev / name).symlink_to(target)
        (dev / "shm").mkdir()
        (dev / "shm").chmod(0o1777)
        (dev / "pts").mkdir()
        options = "newinstance,ptmxmode=0666,mode=0620,gid=5"
        mount("devpts", dev / "pts", "devpts", MS_NOSUID | MS_NOEXEC, options)
        run = self._mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
        (run / "lock").mkdir()
        (run / "lock").chmod(0o1777)

    def _mount(self, source: str, target: str, kind: str, flags: int, options: str = "") -> Path:
        place = self._mount_point(target)
        mount(source, place, kind, flags, options)
        self._leave.callback(unmount, place)
        return place

    def _mount_point(self, target: str, *, directory: bool = True) -> Path:
        """The place of a mount in the tree; if it has to be made, it is removed at the end."""
        place = resolve_in(self._root, target)
        missing = [path for path in (place, *place.parents) if not path.exists()]
        for path in reversed(missing):
            if path != place or directory:
                self._change(path.parent, partial(path.mkdir, 0o755), partial(_remove_empty, path))
            else:
                self._change(path.parent, partial(path.touch, 0o644), path.unlink)
        return place

    def _change(
        self, directory: Path, do: Callable[[], object], undo: Callable[[], object]
    ) -> None:
        """Change a directory, and undo it at the end, so that not even its time has changed."""
        before = directory.stat()
        do()
        changed = directory.stat().st_mtime_ns

        def restore() -> None:
            untouched = directory.stat().st_mtime_ns == changed
            undo()
            if untouched:
                os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))

        self._leave.callback(restore)

    def _lend_resolv_conf(self) -> None:
        """Give the tree the host's resolv.conf until the end, or until a command changes it."""
        try:
            content = Path(_RESOLV_CONF).read_bytes()
        except OSError:
            return
        place = resolve_in(self._root, _RESOLV_CONF)
        if place.is_relative_to(resolve_in(self._root, "/run")):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            return
        place = resolve_in(self._root, _RESOLV_CONF, follow_last=False)
        if not place.parent.is_dir():
            return
        aside = place.with_name(".resolv.conf.kiwinb")

        def lend() -> None:
            if os.path.lexists(place):
                place.rename(aside)
            place.write_bytes(content)
            place.chmod(0o644)

        def take_back() -> None:
            if _is_file_with(place, content):
                place.unlink()
                if os.path.lexists(aside):
                    aside.rename(place)
            elif os.path.lexists(aside):
                aside.unlink()

        self._change(place.parent, lend, take_back)

    def _guard_tmp(self) -> None:
        """Remove at the end what is in /tmp then and was not before."""
        tmp = resolve_in(self._root, "/tmp")
        if not tmp.is_dir():
            return
        before = tmp.stat()
        names = {entry.name for entry in tmp.iterdir()}

        def clean() -> None:
            for path in [entry for entry in tmp.iterdir() if entry.name not in names]:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            if {entry.name for entry in tmp.iterdir()} == names:
                os.utime(tmp, ns=(before.st_atime_ns, before.st_mtime_ns))

        self._leave.callback(clean)

    def _stop_processes(self) -> None:
        """End the daemons that commands left behind in the tree."""
        deadline = time.monotonic() + _STOP_SECONDS
        asked: set[int] = set()
        while left := _processes_in(self._root):
            late = time.monotonic() > deadline
            for pid in left if late else left - asked:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
            asked |= left
            time.sleep(0.01)


def _processes_in(root: Path) -> set[int]:
    """The processes whose root directory is the tree."""
    wanted = root.stat()
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with suppress(OSError):  # it has ended
                if os.path.samestat((process / "root").stat(), wanted):
                    found.add(int(process.name))
    return found


def _remove_empty(directory: Path) -> None:
    with suppress(OSError):  # a command has put something there
        directory.rmdir()


def _is_file_with(path: Path, content: bytes) -> bool:
    return path.is_file() and not path.is_symlink() and path.read_bytes() == content
