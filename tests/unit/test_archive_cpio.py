"""Cpio archives unpack to the tree they were made of."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from odd_tree import EPOCH, make_tree, run_action

from kiwinb.checkpoints.treescan import Entry, compare, scan
from kiwinb.errors import ImageError
from kiwinb.images.cpio import PackCpio
from kiwinb.images.newc import write_cpio
from kiwinb.sandbox.worker import Report, call
from kiwinb.storage.treewalk import select

_EXCLUDE = ("image", ".profile")


def _pack(top: Path, out: str) -> bytes:
    action = PackCpio("it.cpio", EPOCH, _EXCLUDE)
    return (run_action(action, top / "tree", top / out) / "it.cpio").read_bytes()


def _as_in_cpio(entries: tuple[Entry, ...]) -> list[Entry]:
    return [
        replace(entry, xattrs=(), link=b"" if entry.kind == "symlink" else entry.link)
        for entry in entries
    ]


def _round_trip(_argument: None, _report: Report) -> tuple[str, ...]:
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        root = make_tree(top / "tree")
        data = _pack(top, "first")
        assert _pack(top, "again") == data
        unpacked = top / "unpacked"
        unpacked.mkdir()
        done = subprocess.run(
            [
                "cpio",
                "--extract",
                "--make-directories",
                "--preserve-modification-time",
                "--quiet",
                "--nonmatching",
                "nodes/*",
            ],  # no device nodes when rootless
            input=data,
            stderr=subprocess.PIPE,
            cwd=unpacked,
            check=True,
        )
        assert done.stderr == b""  # it skips junk between entries, and says so
        assert int((unpacked / "a" / "file").stat().st_mtime) == EPOCH - 6
        expected = _as_in_cpio(select(root, (*_EXCLUDE, "nodes/*"), contents=True))
        return compare(expected[1:], _as_in_cpio(scan(unpacked))[1:])  # GNU cpio leaves . alone


@pytest.mark.proves("image kind", "cpio")
def test_gnu_cpio_unpacks_the_same_tree() -> None:
    assert call(_round_trip, None) == ()


def _listing(_argument: None, _report: Report) -> str:
    with tempfile.TemporaryDirectory() as directory:
        make_tree(Path(directory) / "tree")
        data = _pack(Path(directory), "out")
        argv = ["cpio", "--list", "--verbose", "--numeric-uid-gid", "--quiet"]
        done = subprocess.run(argv, input=data, check=True, capture_output=True)
        return done.stdout.decode("utf-8", "replace")


def test_device_nodes_are_in_it() -> None:
    found = {line.split()[-1]: line.split()[:6] for line in call(_listing, None).splitlines()}
    assert found["."][0] == "drwxr-x--x"
    assert found["nodes/null"] == ["crw-rw-rw-", "1", "0", "0", "1,", "3"]
    assert found["nodes/sda"] == ["brw-rw----", "1", "0", "6", "8,", "0"]
    assert found["var/third"][:2] == ["-rw-r--r--", "3"]


def test_a_file_too_large_for_the_format(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(4 << 30)
    with (tmp_path / "out").open("wb") as out, pytest.raises(ImageError, match="large is too"):
        write_cpio(out, tmp_path, select(tmp_path, ("out",)), EPOCH)
