"""Run programs of a root tree, in a cage."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType

from kiwinb.errors import CommandError
from kiwinb.sandbox.cage import Bound, Cage, Kernel, View
from kiwinb.sandbox.caged import CAGE, OpenCage
from kiwinb.sandbox.command import Log
from kiwinb.sandbox.foreign import namespace_for
from kiwinb.sandbox.host_view import host_view
from kiwinb.sandbox.mounts import MS_NODEV, MS_NOSUID, bind, mount, unmount
from kiwinb.sandbox.network import resolv_conf
from kiwinb.sandbox.paths import anchored, inner_path, resolve_in
from kiwinb.sandbox.tools import find_tool

ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "TERM": "dumb",
}
"""The environment of a program, to which its caller may add variables."""

_KERNEL = ("/proc", "/dev", "/sys")
_RESOLV_CONF = "/etc/resolv.conf"
_ASIDE = ".resolv.conf.kiwinb"
_STOP_SECONDS = 2.0


class Chroot:
    """A root tree in which programs can run, in a cage; a context manager for use in a worker.

    While it is open, the tree has an empty ``/run``, and programs in it see a small ``/dev``, the
    ``/proc`` of their own processes and an empty ``/sys``; see :mod:`kiwinb.sandbox.cage`. When a
    program ends, everything that it left running is killed. When the chroot closes, files that
    programs left in ``/tmp`` are removed. Programs for another architecture than the host's are
    emulated; see :mod:`kiwinb.sandbox.foreign`.

    Args:
        root: The root tree.
        log: Called with each line of output of the programs.
        network: Whether programs reach the network outside of this host; see
            :mod:`kiwinb.sandbox.network`. Then the tree has the host's ``resolv.conf`` while it is
            open. But if a program replaced it or wrote to it, its version is kept.
        cage: What keeps the programs in the tree.
    """

    def __init__(
        self,
        root: Path,
        *,
        log: Log | None = None,
        network: bool = False,
        cage: Cage = CAGE,
    ) -> None:
        run = resolve_in(root, "/run")  # a tmpfs, so a trial leaves no trace
        self._root = root
        self._network = network
        self._log = log
        self._leave = ExitStack()
        self._cage = OpenCage(
            network=network, namespace=partial(namespace_for, root, run), cage=cage
        )

    def __enter__(self) -> Chroot:
        with ExitStack() as stack:
            self._leave = stack
            self._make_mount_points()
            if self._network:
                self._lend_resolv_conf()
            self._guard_tmp()
            stack.enter_context(self._cage)
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

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        input: str | bytes | None = None,
        cwd: str = "/",
        check: bool = True,
        keep_output: bool = True,
        log: Log | None = None,
    ) -> str:
        """Run a program in the tree as root, and return its standard output.

        Args:
            argv: The program, looked up in the tree's PATH, and its arguments.
            env: Variables to add to :data:`ENVIRONMENT`.
            input: Standard input; empty by default.
            cwd: Working directory in the tree.
            check: Whether to raise an error if the exit status is not 0.
            keep_output: Whether to return standard output; otherwise, the result is empty.
            log: Called with each line of output; by default, as that of the chroot.

        Raises:
            CommandError: The program failed, or is not in the tree (status 127).
            LimitError: The program exceeded one of the limits of this build.
        """
        given = {**ENVIRONMENT, **(env or {})}
        try:
            return self._cage.run(
                self._view(),
                argv,
                env=given,
                log=log or self._log,
                input=input,
                cwd=cwd,
                check=check,
                keep_output=keep_output,
            )
        except CommandError as error:
            if error.status != 127 or error.tail:
                raise
            raise CommandError(
                argv,
                127,
                problem=f"{argv[0]} is not in the root tree, or its interpreter is not",
            ) from None

    def write_entrance(self, file: Path, program: str, env: Mapping[str, str]) -> None:
        """Write a script that runs a program of the tree in the cage; for programs of the host.

        The script works while the chroot is open. Arguments that are paths in the tree may begin
        with the path of the tree.

        Args:
            file: The script.
            program: The program, looked up in the tree's PATH.
            env: The complete environment of the program.
        """
        self._cage.write_entrance(file, self._view(), program, env, self._root)

    def run_tool(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        home: Path,
        also: Sequence[Path] = (),
        check: bool = True,
        log: Log | None = None,
    ) -> str:
        """Run a tool of the host on the tree, from outside, in the cage.

        The tool sees the programs and settings of the host, and the tree under its own path, which
        it may enter with chroot(2). It is root in the cage, and so are programs of the tree that
        it starts.

        Args:
            argv: The tool and its arguments.
            env: The complete environment of the tool.
            home: Directory that is ``/root`` for the tool.
            also: Directories that the tool sees, and may write to, under their own paths.
            check: Whether to raise an error if the exit status is not 0.
            log: Called with each line of output; by default, as that of the chroot.

        Raises:
            CommandError: The tool failed.
            HostError: The tool is not installed.
            LimitError: The programs exceeded one of the limits of this build.
        """
        view = host_view([self._root, *also])
        entered = Kernel(*(str(resolve_in(self._root, path)) for path in _KERNEL))
        view = replace(
            view,
            # First, since the other directories may be below the host's /root.
            bound=(Bound(home, "/root", writable=True), *view.bound),
            kernel=(*view.kernel, entered),
        )
        words = [find_tool(argv[0]), *argv[1:]]
        return self._cage.run(view, words, env=env, log=log or self._log, check=check)

    def _view(self) -> View:
        inside = (inner_path(self._root, resolve_in(self._root, path)) for path in _KERNEL)
        return View((Bound(self._root, "/", writable=True),), kernel=(Kernel(*inside),))

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

    def _make_mount_points(self) -> None:
        for place in _KERNEL:
            self._mount_point(place)
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
                self._change(path, lambda made: made.mkdir(0o755), _remove_empty)
            else:
                self._change(path, lambda made: made.touch(0o644), _remove_file)
        return place

    def _change(
        self, path: Path, do: Callable[[Path], object], undo: Callable[[Path], object]
    ) -> None:
        """Change a file, and undo the change at the end, also that of its directory's time.

        At the end, the directory is the same one, even if programs have moved it.
        """
        directory = self._leave.enter_context(anchored(path.parent))
        before = directory.stat()
        do(directory / path.name)
        changed = directory.stat().st_mtime_ns

        def restore() -> None:
            untouched = directory.stat().st_mtime_ns == changed
            undo(directory / path.name)
            if untouched:
                _restore_times(directory, before)

        self._leave.callback(restore)

    def _lend_resolv_conf(self) -> None:
        """Give the tree a resolv.conf until the end, unless a program changes it."""
        content = resolv_conf()
        place = resolve_in(self._root, _RESOLV_CONF)
        if place.is_relative_to(resolve_in(self._root, "/run")):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            return
        place = resolve_in(self._root, _RESOLV_CONF, follow_last=False)
        if not place.parent.is_dir():
            return

        def lend(place: Path) -> None:
            if os.path.lexists(place):
                place.rename(place.with_name(_ASIDE))
            place.write_bytes(content)
            place.chmod(0o644)

        def take_back(place: Path) -> None:
            aside = place.with_name(_ASIDE)
            if _is_file_with(place, content):
                place.unlink()
                if os.path.lexists(aside):
                    aside.rename(place)
            elif os.path.lexists(aside):
                _remove_file(aside)

        self._change(place, lend, take_back)

    def _guard_tmp(self) -> None:
        """Remove at the end what commands have added to /tmp."""
        place = resolve_in(self._root, "/tmp")
        if not place.is_dir():
            return
        tmp = self._leave.enter_context(anchored(place))
        before = tmp.stat()
        names = {entry.name for entry in tmp.iterdir()}

        def clean() -> None:
            for path in [entry for entry in tmp.iterdir() if entry.name not in names]:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            if {entry.name for entry in tmp.iterdir()} == names:
                _restore_times(tmp, before)

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


def _restore_times(directory: Path, before: os.stat_result) -> None:
    with suppress(OSError):  # a program has removed it
        os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))


def _remove_file(file: Path) -> None:
    with suppress(OSError):  # a program has put something else there
        file.unlink()


def _remove_empty(directory: Path) -> None:
    with suppress(OSError):  # a command has put files there
        directory.rmdir()


def _is_file_with(path: Path, content: bytes) -> bool:
    return path.is_file() and not path.is_symlink() and path.read_bytes() == content
