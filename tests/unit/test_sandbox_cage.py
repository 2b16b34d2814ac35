"""The cage: network, limits and views; the attacks are in ``tests/attack``."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kiwinb.errors import CommandError, HostError, LimitError
from kiwinb.limits import Limits
from kiwinb.sandbox import seccomp
from kiwinb.sandbox.caged import OpenCage
from kiwinb.sandbox.chroot import ENVIRONMENT, Chroot
from kiwinb.sandbox.host_view import host_view
from kiwinb.sandbox.limits import limited
from kiwinb.sandbox.mounts import bind, unmount
from kiwinb.sandbox.worker import Report, call

_CONNECT = """
import socket, sys
for place in sys.argv[1:]:
    try:
        if place.startswith("@"):
            to = socket.socket(socket.AF_UNIX)
            to.connect("\\0" + place[1:])
        else:
            host, _, port = place.rpartition(":")
            socket.create_connection((host, int(port)), 5)
        print("reached", place)
    except OSError as error:
        print("not", place)
"""


@dataclass(frozen=True)
class Job:
    """A program to run in a tree that borrows /usr."""

    root: Path
    argv: tuple[str, ...]
    network: bool = False
    limits: Limits = field(default_factory=Limits)


def _run(job: Job, report: Report) -> str:
    root = job.root
    for name in ("usr", "etc", "tmp", "root"):
        (root / name).mkdir(exist_ok=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        if Path("/", name).exists() and not (root / name).is_symlink():
            (root / name).symlink_to(f"usr/{name}")
    bind(Path("/usr"), root / "usr", readonly=True)
    try:
        with (
            limited(job.limits, root),
            Chroot(root, log=report.log, network=job.network) as chroot,
        ):
            return chroot.run(job.argv)
    finally:
        unmount(root / "usr")


@contextmanager
def _listening(family: int, address: str | tuple[str, int]) -> Iterator[socket.socket]:
    with socket.socket(family) as server:
        server.bind(address)
        server.listen()
        thread = threading.Thread(target=_accept, args=(server,), daemon=True)
        thread.start()
        yield server


def _accept(server: socket.socket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return


def _own_address() -> str:
    """The address of this host in its network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect(("192.0.2.1", 9))
        return str(one.getsockname()[0])


def test_network(tmp_path: Path) -> None:
    name = f"kiwinb-test-{os.getpid()}"
    with (
        _listening(socket.AF_INET, ("127.0.0.1", 0)) as loopback,
        _listening(socket.AF_INET, (_own_address(), 0)) as outside,
        _listening(socket.AF_UNIX, f"\0{name}"),
    ):
        inside = f"127.0.0.1:{loopback.getsockname()[1]}"
        gateway = f"10.0.2.2:{loopback.getsockname()[1]}"
        beyond = f"{_own_address()}:{outside.getsockname()[1]}"
        argv = ("python3", "-c", _CONNECT, inside, gateway, beyond, f"@{name}")
        without = call(_run, Job(tmp_path, argv)).splitlines()
        given = call(_run, Job(tmp_path, argv, network=True)).splitlines()
    assert without == [f"not {place}" for place in (inside, gateway, beyond, f"@{name}")]
    assert given == [f"not {inside}", f"not {gateway}", f"reached {beyond}", f"not @{name}"]


@pytest.mark.parametrize(
    ("limits", "program", "said"),
    [
        (Limits(processes=20), "for i in $(seq 40); do sleep 60 & done; wait", "20 processes"),
        (Limits(seconds=1), "sleep 60", "1 seconds"),
        (
            Limits(memory=100 << 20),
            "python3 -c 'import time; x = bytearray(300 << 20); time.sleep(60)'",
            "100.0 MiB of memory",
        ),
        (
            Limits(disk=1 << 20),
            "head -c 60000000 /dev/zero > /root/large; sync; sleep 60",
            "wrote more than 1.0 MiB",
        ),
    ],
)
def test_limits(tmp_path: Path, limits: Limits, program: str, said: str) -> None:
    with pytest.raises(LimitError, match=said) as caught:
        call(_run, Job(tmp_path, ("sh", "-c", program), limits=limits))
    assert "[limits]" in str(caught.value)


def test_a_program_within_its_limits(tmp_path: Path) -> None:
    limits = Limits(processes=50, seconds=60, memory=1 << 30)
    assert call(_run, Job(tmp_path, ("echo", "fine"), limits=limits)) == "fine\n"


def test_programs_that_do_not_exist(tmp_path: Path) -> None:
    (tmp_path / "usr").mkdir()
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    for name in ("/script", "no-such-program"):
        with pytest.raises(CommandError, match="is not in the root tree") as caught:
            call(_run, Job(tmp_path, (name,)))
        assert caught.value.status == 127


def _on_host(argument: tuple[Path, str], report: Report) -> str:
    root, program = argument
    with OpenCage() as cage:
        environment = {**ENVIRONMENT}
        view = host_view((root,))
        return cage.run(view, ["sh", "-c", program], env=environment, cwd=str(root), log=report.log)


def test_what_is_seen_of_the_host(tmp_path: Path) -> None:
    program = (
        "ls -A /root /home /run; cat /etc/shadow; ls /; id -u; touch here; command -v tar;"
        " ls /proc | grep -c '^[0-9]'; test -w /usr || echo read-only; cat /etc/passwd | head -1"
    )
    lines = call(_on_host, (tmp_path, program)).splitlines()
    assert {"/root:", "/home:", "/run:", "0", "read-only"} <= set(lines)
    assert not any("root:" in line and "$" in line for line in lines)
    assert lines[-1].startswith("root:x:0:0:")
    assert "var" in lines and "srv" not in lines and "boot" not in lines
    assert (tmp_path / "here").exists()


def test_without_libseccomp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp, "_LIBRARY", "libseccomp.so.none")
    with pytest.raises(HostError, match="libseccomp2"):
        seccomp.library()
