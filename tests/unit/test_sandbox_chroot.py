"""A chroot in a tree that borrows /usr from the host."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kiwinb.checkpoints.treescan import compare, scan
from kiwinb.errors import CommandError
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.mounts import bind, unmount
from kiwinb.sandbox.network import NAME_SERVER
from kiwinb.sandbox.worker import Report, call

_DIRECTORIES = ("usr", "etc", "tmp", "root")


def _make_tree(root: Path) -> None:
    root.chmod(0o755)
    for name in _DIRECTORIES:
        (root / name).mkdir()
    for name in ("bin", "sbin", "lib", "lib64"):
        if Path("/", name).exists():
            (root / name).symlink_to(f"usr/{name}")
    (root / "tmp").chmod(0o1777)
    (root / "tmp" / "given").write_text("by an earlier step")


def _in_tree(argument: tuple[Path, Callable[[Chroot, Path], None]], report: Report) -> list[str]:
    """Run something in a chroot, and say how the tree differs from before."""
    root, function = argument
    _make_tree(root)
    prepare = _PREPARE.get(function.__name__)
    if prepare:
        prepare(root)
    for name in (".", "etc", "tmp"):
        os.utime(root / name, (1, 1))
    before = scan(root)
    bind(Path("/usr"), root / "usr", readonly=True)
    try:
        with Chroot(root, log=report.log, network="resol" in function.__name__) as chroot:
            function(chroot, root)
        mounts = [
            line
            for line in Path("/proc/self/mounts").read_text().split("\n")
            if f" {root}/" in line and f" {root}/usr " not in line
        ]
    finally:
        unmount(root / "usr")
    times = [f"{name}: time" for name in (".", "etc", "tmp") if (root / name).stat().st_mtime != 1]
    return [*compare(before, scan(root)), *times, *mounts]


def _look_around(chroot: Chroot, _root: Path) -> None:
    chroot.run(["sh", "-c", "test -c /dev/null && echo x > /dev/null && test -d /proc/self"])
    chroot.run(["sh", "-c", "test -d /sys/kernel && ! touch /sys/x 2>/dev/null"])
    chroot.run(["sh", "-c", "! echo x 2>/dev/null > /proc/sys/kernel/hostname"])
    chroot.run(["sh", "-c", 'test -d /run/lock && test -z "$(ls -A /run/lock)"'])
    chroot.run(["sh", "-c", 'test "$(stat -c %t:%T:%a /dev/null)" = 1:3:666'])
    chroot.run(["sh", "-c", 'test "$(nproc)" -ge 1 && sync && test -d /sys/devices/system/cpu'])
    chroot.run(["sh", "-c", "cat /tmp/given && echo left > /tmp/left && mkdir -p /tmp/d/e"])
    assert chroot.run(["id", "-G"]) == "0\n"
    assert chroot.run(["pwd"], cwd="/etc") == "/etc\n"
    assert chroot.run(["sh", "-c", "umask; echo $X"], env={"X": "y"}) == "0022\ny\n"
    assert chroot.run(["cat"], input="in") == "in"
    assert set(chroot.run(["env"]).split()) == {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/root",
        "LC_ALL=C.UTF-8",
        "TERM=dumb",
        "PWD=/",
    }
    try:
        chroot.run(["no-such-command"])
    except CommandError as error:
        assert error.status == 127
    else:
        raise AssertionError("it ran")


def _leave_daemons(chroot: Chroot, root: Path) -> None:
    chroot.run(["sh", "-c", "setsid sleep 300 & setsid sh -c 'trap \"\" TERM; sleep 300' &"])


def _resolve(chroot: Chroot, _root: Path) -> None:
    assert chroot.run(["head", "-1", "/etc/resolv.conf"]) == f"nameserver {NAME_SERVER}\n"


def _resolve_missing(chroot: Chroot, root: Path) -> None:
    _resolve(chroot, root)


def _resolve_stub(chroot: Chroot, root: Path) -> None:
    _resolve(chroot, root)


def _resolve_dangling(chroot: Chroot, root: Path) -> None:
    _resolve(chroot, root)


def _take_over_resolv_conf(chroot: Chroot, _root: Path) -> None:
    chroot.run(["ln", "-sf", "../run/other", "/etc/resolv.conf"])


def _write_resolv_conf(chroot: Chroot, _root: Path) -> None:
    chroot.run(["sh", "-c", "echo nameserver 192.0.2.1 > /etc/resolv.conf"])


def _borrow(chroot: Chroot, root: Path) -> None:
    chroot.bind(Path(__file__).parent, "/var/cache/borrowed")
    chroot.bind(Path(__file__), "/mnt/one")
    chroot.run(["sh", "-c", f"cmp /mnt/one /var/cache/borrowed/{Path(__file__).name}"])
    chroot.run(["sh", "-c", "! touch /var/cache/borrowed/x 2>/dev/null"])


_PREPARE: dict[str, Callable[[Path], object]] = {
    "_resolve": lambda root: (root / "etc/resolv.conf").write_text("own\n"),
    "_resolve_stub": lambda root: (root / "etc/resolv.conf").symlink_to(
        "../run/systemd/resolve/stub-resolv.conf"
    ),
    "_resolve_dangling": lambda root: (root / "etc/resolv.conf").symlink_to("/nowhere/x"),
    "_write_resolv_conf": lambda root: (root / "etc/resolv.conf").write_text("own\n"),
}


@pytest.mark.parametrize(
    "function",
    [
        _look_around,
        _leave_daemons,
        _resolve,
        _resolve_missing,
        _resolve_stub,
        _resolve_dangling,
        _borrow,
    ],
)
def test_leaves_nothing(tmp_path: Path, function: Callable[[Chroot, Path], None]) -> None:
    assert call(_in_tree, (tmp_path, function)) == []


def test_what_a_command_makes_of_resolv_conf_is_kept(tmp_path: Path) -> None:
    differences = call(_in_tree, (tmp_path, _take_over_resolv_conf))
    assert differences == ["etc/resolv.conf: only in the second", "etc: time"]


def test_what_a_command_writes_to_resolv_conf_is_kept(tmp_path: Path) -> None:
    differences = call(_in_tree, (tmp_path, _write_resolv_conf))
    assert [line.split()[:2] for line in differences if "sha256" in line] == [
        ["etc/resolv.conf:", "sha256"]
    ]
    assert not list((tmp_path / "etc").glob(".resolv*"))


def _lead_away(argument: tuple[Path, Path], report: Report) -> None:
    root, outside = argument
    _make_tree(root)
    bind(Path("/usr"), root / "usr", readonly=True)
    try:
        with Chroot(root, log=report.log, network=True) as chroot:
            chroot.bind(Path(__file__), "/mnt/one/two")
            chroot.run(
                ["sh", "-c", f"rm -rf /tmp; ln -s {outside} /tmp; mv /etc /x; ln -s {outside} /etc"]
            )
            chroot.run(["sh", "-c", "touch /tmp/x; true"])
    finally:
        unmount(root / "usr")


def test_links_in_place_of_directories_lead_nowhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("resolv.conf", ".resolv.conf.kiwinb", "given"):
        (outside / name).write_text("untouched")
    (tmp_path / "root").mkdir()
    call(_lead_away, (tmp_path / "root", outside))
    assert {path.name: path.read_text() for path in outside.iterdir()} == dict.fromkeys(
        ("resolv.conf", ".resolv.conf.kiwinb", "given"), "untouched"
    )
    assert (tmp_path / "root/tmp").is_symlink()
    assert not (tmp_path / "root/x/resolv.conf").exists()


def _fail(root: Path, report: Report) -> None:
    _make_tree(root)
    bind(Path("/usr"), root / "usr", readonly=True)
    with Chroot(root, log=report.log) as chroot:
        chroot.run(["sh", "-c", "echo trouble >&2; exit 5"])


def test_failure_shows_what_was_said(tmp_path: Path) -> None:
    lines: list[str] = []
    with pytest.raises(CommandError, match="trouble") as caught:
        call(_fail, tmp_path, on_log=lines.append)
    assert caught.value.status == 5
    assert lines == ["trouble"]
    assert not subprocess.run(["findmnt", "-R", tmp_path], stdout=subprocess.PIPE).stdout
