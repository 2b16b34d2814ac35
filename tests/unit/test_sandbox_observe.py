"""Real commands, observed; as root."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from kiwinb.checkpoints import reads
from kiwinb.sandbox import notify, observe, supervisor
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.mounts import MS_PRIVATE, MS_REC, mount
from kiwinb.sandbox.observation import Access, Kind, Link, Observation
from kiwinb.sandbox.observe import Observer
from kiwinb.sandbox.observed import run_observed
from kiwinb.sandbox.worker import Report, call

PROJECT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.account("root"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]


def watch(
    argv: Sequence[str], *, cwd: Path | None = None, before: Callable[[], None] = lambda: None
) -> Observation:
    with Observer() as observer:

        def enter() -> None:
            before()
            observer.enter()

        subprocess.run(argv, preexec_fn=enter, check=False, cwd=cwd, capture_output=True)
    return observer.finish()


def python(code: str, *, cwd: Path | None = None) -> Observation:
    return watch([sys.executable, "-S", "-E", "-c", textwrap.dedent(code)], cwd=cwd)


def kinds(observation: Observation, path: object) -> set[tuple[str, bool]]:
    wanted = os.fsencode(os.fspath(str(path)))
    return {(a.kind.value, a.follow) for a in observation.accesses if a.path == wanted}


def test_content_metadata_absence_and_listing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "dir").mkdir()
    seen = python(
        f"""
        import os
        os.chdir({str(tmp_path)!r})
        open("file").close()
        os.lstat("file")
        os.path.exists("missing")
        os.listdir("dir")
        try: open("/no/such/thing")
        except OSError: pass
        """
    )
    assert seen.complete
    assert seen.notifications > 10
    assert kinds(seen, tmp_path) == {("lookup", True)}
    assert kinds(seen, tmp_path / "file") == {("content", True), ("lookup", False)}
    assert kinds(seen, tmp_path / "missing") == {("lookup", True)}
    assert kinds(seen, tmp_path / "dir") == {("listing", True)}
    assert kinds(seen, "/no/such/thing") == {("content", True)}


def test_directory_descriptors(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").write_text("x")
    seen = python(
        f"""
        import os
        at = os.open({str(tmp_path)!r} + "/a", os.O_PATH)
        os.close(os.open("file", os.O_RDONLY, dir_fd=at))
        os.stat("../b", dir_fd=at, follow_symlinks=False) if 0 else None
        os.access("none", os.R_OK, dir_fd=at)
        os.fchdir(at)
        os.path.islink("link")
        """
    )
    assert kinds(seen, tmp_path / "a") == {("lookup", True)}
    assert kinds(seen, tmp_path / "a/file") == {("content", True)}
    assert kinds(seen, tmp_path / "a/none") == {("lookup", True)}
    assert kinds(seen, tmp_path / "a/link") == {("lookup", False)}


def test_changes_read_what_they_change(tmp_path: Path) -> None:
    for name in ("mode", "append", "cut", "from", "gone"):
        (tmp_path / name).write_text("x")
    (tmp_path / "empty").mkdir()
    seen = python(
        """
        import os
        os.chmod("mode", 0o600)
        open("append", "a").close()
        open("cut", "w").close()
        os.rename("from", "to")
        os.unlink("gone")
        os.rmdir("empty")
        os.mkdir("new")
        os.symlink("target", "link")
        os.close(os.open("exclusive", os.O_CREAT | os.O_EXCL | os.O_RDWR))
        """,
        cwd=tmp_path,
    )
    assert kinds(seen, tmp_path / "mode") == {("content", True), ("entry", True)}
    assert kinds(seen, tmp_path / "append") == {("content", True), ("entry", True)}
    assert kinds(seen, tmp_path / "cut") == {("entry", True)}
    assert kinds(seen, tmp_path / "from") == {("tree", False), ("entry", False)}
    assert kinds(seen, tmp_path / "to") == {("entry", False)}
    assert kinds(seen, tmp_path / "gone") == {("entry", False)}
    assert kinds(seen, tmp_path / "empty") == {("listing", False), ("entry", False)}
    assert kinds(seen, tmp_path / "new") == {("entry", False)}
    assert kinds(seen, tmp_path / "link") == {("entry", False)}
    assert kinds(seen, tmp_path / "exclusive") == {("entry", False)}


def test_threads_and_children(tmp_path: Path) -> None:
    seen = python(
        """
        import os, subprocess, threading
        work = lambda n: [os.path.exists(f"thread-{n}-{i}") for i in range(50)]
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        [t.start() for t in threads]; [t.join() for t in threads]
        pid = os.posix_spawn("/bin/cat", ["cat", "spawned"], {})
        os.waitpid(pid, 0)
        subprocess.run(["/bin/sh", "-c", "test -e shell; (cd /; test -e subshell)"])
        if os.fork() == 0:
            os.path.exists("forked"); os._exit(0)
        os.wait()
        """,
        cwd=tmp_path,
    )
    assert seen.complete
    assert all(kinds(seen, tmp_path / f"thread-{n}-{i}") for n in range(4) for i in range(50))
    assert kinds(seen, tmp_path / "spawned") == {("content", True)}
    assert kinds(seen, tmp_path / "shell")
    assert kinds(seen, "/subshell")
    assert kinds(seen, tmp_path / "forked")


def test_interpreters_that_only_the_kernel_reads(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/usr/bin/env sh\n")
    script.chmod(0o755)
    seen = watch([str(script)])
    assert kinds(seen, script) == {("content", True)}
    assert ("content", True) in kinds(seen, "/usr/bin/env")
    assert ("content", True) in kinds(seen, "/lib64/ld-linux-x86-64.so.2")


@pytest.mark.needs("busybox")
def test_static_binaries_in_a_chroot_that_change_root_again(tmp_path: Path) -> None:
    busybox = shutil.which("busybox")
    assert busybox
    for place in ("bin", "inner/bin"):
        (tmp_path / place).mkdir(parents=True)
        shutil.copy(busybox, tmp_path / place / "busybox")
    (tmp_path / "inner/etc").mkdir()

    def enter() -> None:
        os.chroot(tmp_path)
        os.chdir("/")

    script = "cd bin; busybox chroot /inner /bin/busybox sh -c 'cd etc; busybox test -e x'; "
    seen = watch(["/bin/busybox", "sh", "-c", script + "test -e /y; test -e z"], before=enter)
    assert seen.complete
    assert Access(b"/etc/x", Kind.LOOKUP, True, b"/inner") in seen.accesses
    assert Access(b"/y", Kind.LOOKUP) in seen.accesses
    assert Access(b"/bin/z", Kind.LOOKUP) in seen.accesses
    noted = reads.record(tmp_path, seen.accesses)
    assert noted.states[b"inner/etc/x"].kind == "absent"
    assert noted.states[b"bin/busybox"].digest


def test_a_name_as_that_of_something_deleted(tmp_path: Path) -> None:
    (tmp_path / "a (deleted)").mkdir()
    (tmp_path / "gone").mkdir()
    seen = python(
        """
        import os
        os.chdir("a (deleted)"); os.path.exists("one")
        os.chdir("../gone"); os.rmdir("../gone"); os.path.exists("two")
        """,
        cwd=tmp_path,
    )
    assert kinds(seen, tmp_path / "a (deleted)/one")
    assert kinds(seen, tmp_path / "gone/two")


def test_long_and_strange_paths(tmp_path: Path) -> None:
    long = "/".join(["d" * 200] * 15)
    seen = python(
        f"""
        import os
        os.path.exists({long!r}); os.path.exists("l" * 5000); os.path.exists(b"\\xff\\n")
        os.path.exists("/proc/self/fd/0"); os.path.exists("/proc/self/cwd/through")
        """,
        cwd=tmp_path,
    )
    assert seen.complete
    assert kinds(seen, tmp_path / long)
    assert any(a.path == os.fsencode(tmp_path) + b"/\xff\n" for a in seen.accesses)
    assert kinds(seen, tmp_path / "through")


def test_what_cannot_be_observed(tmp_path: Path) -> None:
    network = python("import socket; socket.socket()")
    assert network.incomplete == ("a network",)
    mounts = python("import ctypes; ctypes.CDLL(None).umount2(b'/nowhere', 0)")
    assert mounts.incomplete == ("a mount",)
    tree = python("import ctypes; ctypes.CDLL(None).syscall(467, -1, b'/', 0, 0, 0)")
    assert tree.incomplete == ("a mount",)
    rings = python(
        "import ctypes, os; c = ctypes.CDLL(None, use_errno=True); "
        "assert c.syscall(425, 1, 0) == -1 and ctypes.get_errno() == 38; os.stat('/fine')"
    )
    assert rings.complete and kinds(rings, "/fine")
    compat = python("import ctypes; ctypes.CDLL(None).syscall(0x40000000 + 4, b'/', 0)")
    assert compat.incomplete == ("a system call of another architecture",)


def test_one_that_is_observed_already() -> None:
    with Observer() as outer, Observer() as inner:

        def enter() -> None:
            outer.enter()
            inner.enter()

        done = subprocess.run(["true"], preexec_fn=enter, check=False)
    assert done.returncode == 0
    assert not inner.finish().complete
    assert outer.finish().complete


def test_a_failing_supervisor_lets_everything_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_MOST", 50)
    seen = python("import os; [os.path.exists(f'/x{i}') for i in range(1000)]")
    assert seen.incomplete == ("OverflowError: too many paths",)


def test_a_supervisor_that_cannot_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_listener: int, _pid: int, _mounts: Sequence[bytes]) -> None:
        raise OSError("no")

    monkeypatch.setattr(observe, "Supervisor", fail)
    with Observer() as observer:
        done = subprocess.run(["ls", "/"], preexec_fn=observer.enter, capture_output=True)
    assert done.returncode == 0
    assert observer.finish().incomplete == ("OSError: no",)


def test_processes_left_behind() -> None:
    with Observer() as observer:
        done = subprocess.run(
            ["sh", "-c", "(sleep 600; test -e /late; echo end >&2) >/dev/null 2>&1 & echo $!"],
            preexec_fn=observer.enter,
            stdout=subprocess.PIPE,
        )
    begin = time.monotonic()
    seen = observer.finish()
    assert time.monotonic() - begin < 300
    assert seen.incomplete == ("processes that the command left behind",)
    os.kill(int(done.stdout), signal.SIGTERM)


def test_never_started() -> None:
    with Observer() as observer:
        pass
    assert observer.finish().incomplete == ("it was not started",)


def test_signals_that_come_too_early_are_noticed() -> None:
    seen = python(
        """
        import os, signal
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.siginterrupt(signal.SIGALRM, False)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        for i in range(3000): os.path.exists(f"/signal-{i}")
        signal.setitimer(signal.ITIMER_REAL, 0)
        """
    )
    assert all(kinds(seen, f"/signal-{i}") for i in range(3000))  # all were begun again
    assert set(seen.incomplete) <= {"a signal interrupted a system call before it was seen"}


ROOTLESS = """
import json, subprocess, sys
from kiwinb.sandbox.observe import Observer
from kiwinb.sandbox.observed import run_observed
from kiwinb.sandbox.worker import Report, call
with Observer() as observer:
    subprocess.run(["sh", "-c", "cd /usr; test -e missing; (:)"], preexec_fn=observer.enter)
seen = observer.finish()
print(json.dumps([seen.incomplete, [a.path.decode() for a in seen.accesses]]))
"""


def test_rootless() -> None:
    if not Path("/usr/bin/python3").exists():
        pytest.skip("needs a Python that everybody can execute")
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    spaces = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*user, *spaces, "true"], capture_output=True).returncode:
        pytest.skip("the host does not allow user namespaces")
    python = ["/usr/bin/python3", "-B", "-c", ROOTLESS]
    with tempfile.TemporaryDirectory() as place:  # the checkout may be closed to others
        Path(place).chmod(0o755)
        shutil.copytree(PROJECT / "kiwinb", Path(place, "kiwinb"))
        command = [*user, *spaces, *python]
        done = subprocess.run(command, cwd=place, capture_output=True, check=True)
    incomplete, paths = json.loads(done.stdout)
    assert incomplete == []
    assert "/usr/missing" in paths


@pytest.mark.parametrize(
    "make",
    [
        "os.symlink('../secret', 'tmp'); os.rename('tmp', 'way')",
        "os.symlink('/secret', 'way')",
        "os.rename('/secret', '/work/way')",
        "os.mkdir('d'); os.symlink('/secret', 'd/l'); os.rename('d', 'e'); os.rename('e/l', 'way')",
    ],
)
def test_ways_that_the_command_makes(tmp_path: Path, make: str) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/file").write_text("x")
    (tmp_path / "work").mkdir()
    original = tmp_path.with_name("original")
    shutil.rmtree(original, ignore_errors=True)
    shutil.copytree(tmp_path, original, symlinks=True)
    code = f"import os; os.chroot({str(tmp_path)!r}); os.chdir('/work'); {make}; open('way/file')"
    seen = python(code)
    below = os.fsencode(tmp_path)
    within = [a for a in seen.accesses if a.root == below or a.path.startswith(below)]
    assert seen.complete and within
    inside = [Access(a.path, a.kind, a.follow) for a in seen.accesses if a.root == below]
    links = [Link(link.path, link.target) for link in seen.links if link.root == below]
    noted = reads.record(original, inside, links)
    assert noted.states[b"secret/file"].digest


def test_kernels_where_receiving_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "kernel", lambda: (6, 1))
    seen = watch(["sh", "-c", "test -e /one; (test -e /two)"])
    assert seen.complete
    assert kinds(seen, "/one") and kinds(seen, "/two")
    ended = watch(["sh", "-c", "kill -KILL $$"])
    assert ended.complete


def test_a_failing_supervisor_on_an_old_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "kernel", lambda: (6, 1))
    monkeypatch.setattr(supervisor, "_MOST", 5)
    seen = watch(["sh", "-c", "test -e /one; (test -e /two)"])
    assert seen.incomplete == ("OverflowError: too many paths",)


def test_kernels_that_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "kernel", lambda: (5, 18))
    seen = watch(["true"])
    assert len(seen.incomplete) == 1
    assert seen.incomplete[0].startswith("the kernel does not allow it")
    assert "is too old" in seen.incomplete[0]


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.1.0-18-amd64", (6, 1)), ("6.11", (6, 11)), ("5.19-rc1", (5, 19)), ("strange", (0, 0))],
)
def test_version_of_the_kernel(
    monkeypatch: pytest.MonkeyPatch, release: str, version: tuple[int, int]
) -> None:
    monkeypatch.setattr("platform.release", lambda: release)
    assert notify.kernel() == version


def _enter_with_own_mounts(observer: Observer) -> None:
    assert ctypes.CDLL(None).unshare(0x00020000) == 0  # CLONE_NEWNS
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    observer.enter()


@dataclass(frozen=True)
class Seen:
    incomplete: tuple[str, ...]
    paths: tuple[bytes, ...]
    states: tuple[bytes, ...]


def _work_on_a_tree(tree: Path, report: Report) -> Seen:
    """In a worker: work on a tree from outside, and from inside in a cage."""

    def act(log: Callable[[str], None], progress: Callable[[float], None]) -> None:
        (tree / "etc/outside").exists()
        with Chroot(tree, log=log) as chroot:
            chroot.run(["/run.sh"])
        (tree / "etc/later").exists()

    inside = run_observed(act, report.log, report.progress, tree).inside(tree)
    paths = sorted({access.path for access in inside.accesses if access.root == b"/"})
    states = sorted(reads.record(tree, inside.accesses, inside.links).states)
    return Seen(inside.incomplete, tuple(paths), tuple(states))


def test_a_program_that_works_on_a_tree_from_outside_and_inside(tmp_path: Path) -> None:
    busybox = shutil.which("busybox")
    assert busybox
    tree = tmp_path / "tree"
    for place in ("bin", "etc/deep", "dev", "usr/bin", "tmp"):
        (tree / place).mkdir(parents=True)
    shutil.copy(busybox, tree / "usr/bin/busybox")
    (tree / "bin/sh").symlink_to("/usr/bin/busybox")  # the host has no such file, perhaps
    (tree / "run.sh").write_text(
        "#!/bin/sh\nread line < /etc/inside\ncd /etc/deep\nread line < relative\n"
        "read line < ../up\nread line < /proc/self/cwd/through\n"
    )
    (tree / "run.sh").chmod(0o755)
    for name in ("inside", "deep/relative", "up", "deep/through"):
        (tree / "etc" / name).write_text("line\n")
    seen = call(_work_on_a_tree, tree)
    assert seen.incomplete == ()
    names = ("inside", "outside", "later", "deep/relative", "deep/../up", "deep/through")
    assert {f"/etc/{name}".encode() for name in names} <= set(seen.paths)
    assert b"/bin/sh" in seen.paths
    assert not any(b"site-packages" in path or b"newroot" in path for path in seen.paths)
    assert {b"usr/bin/busybox", b"etc/deep/through", b"etc/up"} <= set(seen.states)


def test_another_process_by_number(tmp_path: Path) -> None:
    """Process numbers are others in the cage, so what such a path leads to is not known."""
    busybox = shutil.which("busybox")
    assert busybox
    for place in ("bin", "tmp"):
        (tmp_path / place).mkdir()
    shutil.copy(busybox, tmp_path / "bin/sh")
    (tmp_path / "run.sh").write_text("#!/bin/sh\nread line < /proc/$$/cwd/run.sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    (reason,) = call(_work_on_a_tree, tmp_path).incomplete
    assert reason.startswith("a path through /proc/")


def test_a_mount_is_not_observed(tmp_path: Path) -> None:
    code = (
        "import ctypes, sys; c = ctypes.CDLL(None); "
        "c.mount(b'tmpfs', sys.argv[1].encode(), b'tmpfs', 0, None)"
    )
    with Observer() as observer:
        command = [sys.executable, "-S", "-E", "-c", code, str(tmp_path)]
        enter = partial(_enter_with_own_mounts, observer)
        subprocess.run(command, preexec_fn=enter, check=True)
    assert observer.finish().incomplete == ("a mount",)
