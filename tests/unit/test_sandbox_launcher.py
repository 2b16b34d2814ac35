"""Several workers from one process, on the real kernel: they share nothing, and die together."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kiwinb.errors import HostError
from kiwinb.sandbox.mounts import mount
from kiwinb.sandbox.privilege import detect
from kiwinb.sandbox.worker import Cancellation, Cancelled, Launcher, Report, call


def _wait_until(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


def _facts(_argument: None, _report: Report) -> dict[str, object]:
    paths = sorted(Path("/proc/self/fd").iterdir())
    links = {path.name: str(path.readlink()) for path in paths if path.exists()}
    return {
        # what is behind the colon or the hash is the number of an inode
        "names": {name: re.split("[:#]", value)[0] for name, value in links.items()},
        "cwd": Path.cwd(),
        "uid": os.getuid(),
        "session": os.getsid(0),
        "environment": dict(os.environ),
        "modules": [*sys.path],
        "mounted": "kiwinb-spoilt" in Path("/proc/self/mounts").read_text(),
        "preloaded": "json.tool" in sys.modules,
        "argument": "kiwinb_not_there" in sys.modules,
    }


def _spoil(directory: Path, _report: Report) -> None:
    os.chdir("/")
    os.umask(0)
    os.environ["SPOILT"] = "1"
    sys.path.insert(0, "/nowhere")
    os.dup(1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    socket.sethostname("spoilt")
    subprocess.Popen(["sleep", "300"], start_new_session=True)
    (directory / "made").touch()
    (directory / "mounted").mkdir()
    mount("kiwinb-spoilt", directory / "mounted", "tmpfs")


def test_a_call_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    with Launcher(("json.tool", "kiwinb_not_there")) as launcher:
        before = call(_facts, None, launcher=launcher)
        call(_spoil, tmp_path, launcher=launcher)
        after = call(_facts, None, launcher=launcher)
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o666
    assert before == after
    assert not before["mounted"]
    assert before["preloaded"] and not before["argument"]
    assert before["cwd"] == str(Path.cwd())
    alone = call(_facts, None)
    assert {**alone, "preloaded": True} == before


def test_a_worker_has_the_descriptors_of_its_own_call_only() -> None:
    with Launcher() as launcher, ThreadPoolExecutor(4) as pool:
        facts = [*pool.map(lambda _: call(_facts, None, launcher=launcher), range(12))]
    for item in facts:
        names = item["names"]
        assert isinstance(names, dict)
        assert names["0"] == "/dev/null"
        assert names["3"] == "pipe"
        assert sum(value == "socket" for value in names.values()) == 0
        assert len(names) == 4


def test_a_call_sees_the_present_state_of_its_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Launcher() as launcher:
        call(_facts, None, launcher=launcher)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("KIWINB_NEW", "value")
        monkeypatch.delenv("HOME", raising=False)
        monkeypatch.syspath_prepend(tmp_path)
        (tmp_path / "made_since.py").write_text("def answer(argument, report):\n    return 42\n")
        after = call(_facts, None, launcher=launcher)
        from made_since import answer  # type: ignore[import-not-found]

        assert call(answer, None, launcher=launcher) == 42
    assert after["cwd"] == str(tmp_path)
    environment = after["environment"]
    assert isinstance(environment, dict)
    assert environment["KIWINB_NEW"] == "value"
    assert "HOME" not in environment


def _pids(_argument: None, report: Report) -> None:
    report.log("started")
    time.sleep(300)


def _servers(parent: int) -> list[int]:
    """The processes that fork workers for a process."""
    children = Path(f"/proc/{parent}/task").glob("*/children")
    pids = [int(pid) for file in children for pid in file.read_text().split()]
    return [
        pid
        for pid in pids
        if b"kiwinb.sandbox.forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def _below(pid: int) -> list[int]:
    try:
        pids = [int(item) for item in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [*pids, *(item for child in pids for item in _below(child))]


def test_all_workers_die_with_the_process_that_forked_them() -> None:
    killed: list[int] = []

    def kill(_line: str) -> None:
        (server,) = _servers(os.getpid())
        killed.extend(_below(server))
        os.kill(server, signal.SIGKILL)

    with Launcher() as launcher:
        with pytest.raises(HostError, match="killed"):
            call(_pids, None, on_log=kill, launcher=launcher)
        assert len(killed) == 3  # keeper, init and callee
        assert _wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in killed))
        assert call(_facts, None, launcher=launcher)["uid"] == 0  # another one takes its place
    assert not _servers(os.getpid())


def test_a_process_that_another_thread_found_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at the process and the request, another thread replaced it."""
    with Launcher() as launcher:
        server = launcher._running()
        server.kill()
        assert _wait_until(server.is_dead)
        assert launcher._running() is not server
        monkeypatch.setattr(launcher, "_running", lambda: server)
        with pytest.raises(HostError, match="killed"):
            call(_facts, None, launcher=launcher)


def test_programs_of_the_caller_inherit_nothing() -> None:
    with Launcher() as launcher, launcher.launch(detect()) as worker:
        assert worker.pid
        open_ones = [int(file.name) for file in Path("/proc/self/fd").iterdir() if file.exists()]
        inherited = [number for number in open_ones if os.get_inheritable(number)]
        kinds = [os.readlink(f"/proc/self/fd/{number}") for number in inherited]  # noqa: PTH115
    assert not [kind for kind in kinds if "pidfd" in kind]


def test_a_killed_keeper_takes_its_worker_along() -> None:
    killed: list[int] = []

    def kill(_line: str) -> None:
        (server,) = _servers(os.getpid())
        killed.extend(_below(server))
        os.kill(killed[0], signal.SIGKILL)

    with Launcher() as launcher:
        with pytest.raises(HostError, match="killed"):
            call(_pids, None, on_log=kill, launcher=launcher)
        assert _wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in killed))
        assert call(_facts, None, launcher=launcher)["uid"] == 0


def test_a_cancellation_ends_the_calls_of_all_threads() -> None:
    cancellation = Cancellation()
    started: list[str] = []

    def run(_number: int) -> None:
        with pytest.raises(Cancelled):
            call(
                _pids,
                None,
                on_log=started.append,
                cancellation=cancellation,
                launcher=launcher,
                privilege=privilege,
            )

    privilege = detect()
    with Launcher() as launcher, ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(run, number) for number in range(3)]
        try:
            assert _wait_until(lambda: len(started) == 3)
            (server,) = _servers(os.getpid())
            workers = _below(server)
            assert len(workers) == 9
        finally:  # or the pool waits for them
            cancellation.cancel()
        for future in futures:
            future.result(20)
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
        assert _servers(os.getpid()) == [server]
    assert not _servers(os.getpid())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_caller_ends_everything(number: int) -> None:
    program = textwrap.dedent(
        """
        from kiwinb.sandbox.worker import Launcher, call
        from test_sandbox_launcher import _pids
        with Launcher() as launcher:
            call(_pids, None, on_log=lambda line: print(line, flush=True), launcher=launcher)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"started\n"
        below = _below(parent.pid)
        assert len(below) == 4
        parent.send_signal(number)
        parent.wait(20)
    assert _wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below))


def test_a_caller_that_forked_without_executing_dies_whole() -> None:
    """A child that holds the caller's pipes open does not keep the workers alive."""
    program = textwrap.dedent(
        """
        import os, time
        from kiwinb.sandbox.worker import Launcher, call
        from test_sandbox_launcher import _pids
        def fork(line):
            if os.fork() == 0:
                time.sleep(20)
                os._exit(0)
            print(line, flush=True)
        with Launcher() as launcher:
            call(_pids, None, on_log=fork, launcher=launcher)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"started\n"
        (server,) = _servers(parent.pid)
        workers = _below(server)
        assert len(workers) == 3
        parent.kill()
        parent.wait(20)
        assert _wait_until(
            lambda: not any(Path(f"/proc/{pid}").exists() for pid in (server, *workers))
        )
        os.killpg(parent.pid, signal.SIGKILL)
