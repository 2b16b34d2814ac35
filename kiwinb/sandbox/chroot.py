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
"""The environment of a command, to which its caller may add variables."""

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
    """A root tree in which commands can run; a context manager for use in a worker.

    While it is open, the tree has /proc, /sys (read-only), a small /dev, an empty /run and the
    host's name resolution. When it closes, processes that still run in the tree are stopped, all of
    this is removed from the tree, and also files that commands left in /tmp. But if a command
    replaced /etc/resolv.conf or wrote to it, its version is kept. Programs for another architecture
    than the host's are emulated; see :mod:`kiwinb.sandbox.foreign`.

    Args:
        root: The root tree.
        log: Called with each line of output of the commands.
        name_resolution: Whether the tree gets the host's resolv.conf while it is open.
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
            run = resolve_in(self._root, "/run")  # a tmpfs, so a trial leaves no trace
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
        """Move this process into the namespaces in which programs of the tree run.

        To be called in a new process, for example in ``enter`` of :func:`execute`. It has no effect
        if the host itself runs programs of the tree's architecture.
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
        """Run a command in the tree as root, and return its standard output.

        Args:
            argv: The command, looked up in the tree's PATH, and its arguments.
            env: Variables to add to :data:`ENVIRONMENT`.
            input: Standard input; empty by default.
            cwd: Working directory in the tree.
            check: Whether to raise an error if the exit status is not 0.

        Raises:
            CommandError: The command failed, or is not in the tree (status 127).
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
        """Bind-mount a file or directory of the host in the tree until the chroot closes.

        Args:
            source: Path on the host.
            target: Absolute path in the tree; if it does not exist, it is created and removed
                afterwards.
            readonly: Whether the mount is read-only.

        Raises:
            OSError: The kernel refuses the mount.
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
        """Return a mount point in the tree; if it has to be created, it is removed at the end."""
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
        """Change a directory, and undo the change at the end, also that of the directory's time."""
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
        """Give the tree the host's resolv.conf until the end, unless a command changes it."""
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
        """Remove at the end what commands have added to /tmp."""
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
        """Stop processes that commands left running in the tree."""
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
    """Return the processes whose root directory is the tree."""
    wanted = root.stat()
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with suppress(OSError):  # it has ended
                if os.path.samestat((process / "root").stat(), wanted):
                    found.add(int(process.name))
    return found


def _remove_empty(directory: Path) -> None:
    with suppress(OSError):  # a command has put files there
        directory.rmdir()


def _is_file_with(path: Path, content: bytes) -> bool:
    return path.is_file() and not path.is_symlink() and path.read_bytes() == content
