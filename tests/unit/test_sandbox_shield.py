"""A step writes to its own places, whatever it tries."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from kiwinb.errors import KiwinbError
from kiwinb.sandbox.command import run
from kiwinb.sandbox.mounts import bind
from kiwinb.sandbox.shield import shield_host
from kiwinb.sandbox.worker import Report, call

Places = tuple[Path, Path]


def _write_both(places: Places, _report: Report) -> list[str]:
    own, other = places
    shield_host([own])
    said = []
    for path in (own / "new", own / "deep" / "new", other / "victim", own / "link"):
        try:
            path.parent.mkdir(exist_ok=True)
            path.write_text("written")
            said.append("written")
        except OSError as error:
            said.append(errno.errorcode[error.errno or 0])
    Path("/dev/null").write_text("can be written to")
    return said


def test_only_its_own_places_are_writable(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    other.mkdir()
    own.mkdir()
    (other / "victim").write_text("untouched")
    (own / "link").symlink_to(other / "victim")
    said = call(_write_both, (own, other))
    assert said == ["written", "written", "EROFS", "EROFS"]
    assert (other / "victim").read_text() == "untouched"
    assert (own / "deep/new").read_text() == "written"


def _run_command(places: Places, _report: Report) -> str:
    own, other = places
    shield_host([own])
    try:
        run(["sh", "-c", f"echo attacked > {other}/victim"])
    except KiwinbError as error:
        return str(error)
    return "it was written"


def test_commands_are_held_back_too(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    other.mkdir()
    (other / "victim").write_text("untouched")
    assert "Read-only file system" in call(_run_command, (own, other))
    assert (other / "victim").read_text() == "untouched"
    assert own.is_dir()


def _mount_below(places: Places, _report: Report) -> bool:
    own, other = places
    shield_host([own])
    (own / "shown").mkdir()
    bind(other, own / "shown")
    return os.access(own / "shown", os.W_OK)


def test_what_is_mounted_afterwards_stays_read_only(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    other.mkdir()
    assert call(_mount_below, (own, other)) is False


def _mounts() -> dict[str, str]:
    """Options of each mount, by its place."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return {line.split()[1]: line.split()[3] for line in lines}


@pytest.mark.account("root")  # it leaves the mount namespace
def test_the_host_itself_stays_writable(tmp_path: Path) -> None:
    before = _mounts()
    call(_mount_below, (tmp_path / "own", tmp_path))
    after = _mounts()
    both = before.keys() & after.keys()  # other tests mount and unmount, too
    assert "/" in both and all(after[place] == before[place] for place in both)
    assert not [place for place in after if place.startswith(str(tmp_path))]
    subprocess.run(["touch", tmp_path / "file"], check=True)
