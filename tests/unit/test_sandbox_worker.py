"""Workers, on the real kernel: as root or rootless, whoever runs the tests."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from kiwinb.errors import CommandError, HostError
from kiwinb.sandbox.devices import Device, make_device, read_device
from kiwinb.sandbox.events import event_frame
from kiwinb.sandbox.mounts import mount
from kiwinb.sandbox.privilege import Privilege, detect
from kiwinb.sandbox.worker import Report, call, probe


def _where(argument: str, report: Report) -> tuple[int, str, str]:
    report.log(f"got {argument}")
    report.progress(0.5)
    os.write(1, b"noise on stdout")
    return os.getuid(), os.uname().nodename, oct(os.umask(0))


def test_runs_as_root_and_reports() -> None:
    lines: list[str] = []
    fractions: list[float] = []
    uid, host, umask = call(_where, "this", on_log=lines.append, on_progress=fractions.append)
    assert (uid, host, umask) == (0, "localhost", "0o22")
    assert lines == ["got this"]
    assert fractions == [0.5]


def _fail(argument: str, _report: Report) -> None:
    if argument == "known":
        raise CommandError(["tool"], 3, ("last line",), remedy="Do it again.")
    if argument == "bug":
        raise ZeroDivisionError
    if argument == "exit":
        sys.exit(3)
    os.write(2, b"last words")
    os.kill(os.getpid(), signal.SIGSEGV)


def test_known_errors_come_back_whole() -> None:
    with pytest.raises(CommandError) as caught:
        call(_fail, "known")
    assert caught.value.status == 3
    assert caught.value.tail == ("last line",)
    assert str(caught.value).endswith("Do it again.")


def test_bugs_come_back_with_their_traceback() -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError") as caught:
        call(_fail, "bug")
    assert "in _fail" in caught.value.__notes__[0]


def test_a_function_that_exits_does_not_end_its_caller() -> None:
    with pytest.raises(RuntimeError, match="SystemExit: 3"):
        call(_fail, "exit")


def test_a_crash_is_an_error() -> None:
    with pytest.raises(HostError, match=r"_fail \(status 139\): last words"):
        call(_fail, "crash")


def _tear(size: int, report: Report) -> None:
    os.write(report.descriptor, event_frame("log", "x" * 1000)[:size])
    os._exit(3)


@pytest.mark.parametrize("size", [3, 8, 500])
def test_a_crash_in_the_middle_of_an_event_is_an_error(size: int) -> None:
    with pytest.raises(HostError, match=r"_tear \(status 3\)"):
        call(_tear, size)


def _large(argument: bytes, report: Report) -> bytes:
    report.log("x" * 1_000_000)
    return argument


def test_large_arguments_and_results() -> None:
    data = os.urandom(3_000_000)
    assert call(_large, data) == data


def _mount(directory: Path, _report: Report) -> bool:
    mount("tmpfs", directory, "tmpfs")
    (directory / "file").touch()
    return (directory / "file").exists()


def test_mounts_vanish(tmp_path: Path) -> None:
    assert call(_mount, tmp_path)
    assert not (tmp_path / "file").exists()
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


def _leave_daemon(marker: str, report: Report) -> None:
    subprocess.Popen(["sh", "-c", f"exec -a {marker} sleep 300"], start_new_session=True)
    subprocess.Popen(["bash", "-c", f"trap '' TERM HUP INT; exec -a {marker} sleep 300"])
    report.log("started")
    if marker.endswith("wait"):
        time.sleep(300)


def _running(marker: str) -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if command[0] == marker.encode():
            found.append(process.name)
    return found


def test_no_process_is_left() -> None:
    marker = f"kiwinb-test-{os.getpid()}"
    call(_leave_daemon, marker)
    assert not _running(marker)


def test_interrupt_ends_everything() -> None:
    marker = f"kiwinb-test-{os.getpid()}-wait"

    def stop(_line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call(_leave_daemon, marker, on_log=stop)
    assert not _running(marker)


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, -2), (signal.SIGHUP, 129)],
)
def test_a_signal_to_the_parent_ends_everything(number: int, status: int) -> None:
    marker = f"kiwinb-test-{os.getpid()}-{number}-wait"
    program = textwrap.dedent(
        f"""
        from kiwinb.sandbox.worker import call
        from test_sandbox_worker import _leave_daemon
        call(_leave_daemon, "{marker}", on_log=lambda line: print(line, flush=True))
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
        parent.send_signal(number)
        assert parent.wait(20) == status
    deadline = time.monotonic() + 5
    while _running(marker) and time.monotonic() < deadline:
        time.sleep(0.05)  # after SIGKILL the kernel takes its time
    assert not _running(marker)


def _orphan(_argument: None, _report: Report) -> bool:
    """Whether an orphan's zombie is reaped."""
    pid = int(subprocess.check_output(["sh", "-c", "sleep 0.1 >/dev/null & echo $!"]))
    for _attempt in range(100):
        if not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.02)
    return False


def test_orphans_are_reaped() -> None:
    assert call(_orphan, None)


def _devices(directory: Path, _report: Report) -> list[tuple[Device | None, int, bool]]:
    make_device(directory / "null", stat.S_IFCHR | 0o666, 1, 3)
    make_device(directory / "sda", stat.S_IFBLK | 0o660, 8, 0)
    (directory / "empty").touch()
    (directory / "link").symlink_to("null")
    found = []
    for name in ("null", "sda", "empty", "link"):
        status = (directory / name).lstat()
        found.append(
            (
                read_device(directory / name, status),
                stat.S_IMODE(status.st_mode),
                stat.S_ISREG(status.st_mode),
            )
        )
    return found


def test_device_nodes_or_their_stand_ins(tmp_path: Path) -> None:
    null, disk, empty, link = call(_devices, tmp_path)
    stand_in = detect().rootless
    assert null == (Device("c", 1, 3), 0o666, stand_in)
    assert disk == (Device("b", 8, 0), 0o660, stand_in)
    assert empty[0] is None
    assert link[0] is None


def test_probe() -> None:
    probe()


@pytest.mark.account("user")  # root needs no subordinate ids
def test_ids_that_are_not_ours() -> None:
    privilege = detect()
    wrong = Privilege(True, (*privilege.uids[:1], *privilege.uids[:1]), privilege.gids)
    with pytest.raises(HostError, match="newuidmap"):
        call(_where, "x", privilege=wrong)
