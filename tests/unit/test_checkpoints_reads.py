"""What a command read of a tree, and other trees that are the same there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kiwinb.checkpoints import reads
from kiwinb.sandbox.observation import Access, Kind

pytestmark = pytest.mark.account("root")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name in ("usr/bin", "etc/alternatives", "usr/lib/empty", "proc"):
        (root / name).mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    (root / "usr/bin/awk").symlink_to("/etc/alternatives/awk")
    (root / "etc/alternatives/awk").symlink_to("/usr/bin/mawk")
    (root / "usr/bin/mawk").write_text("mawk")
    (root / "etc/loop").symlink_to("loop")
    return root


def accesses() -> list[Access]:
    return [
        Access(b"/bin/awk", Kind.CONTENT),
        Access(b"/etc/gone/x", Kind.LOOKUP),
        Access(b"/etc/loop", Kind.CONTENT),
        Access(b"/usr/lib", Kind.LISTING),
        Access(b"/../../usr/./bin/../lib/empty/new", Kind.ENTRY, False),
        Access(b"/proc/self/status", Kind.CONTENT),
        Access(b"/usr/bin/mawk/x", Kind.LOOKUP),
    ]


def test_record(tree: Path) -> None:
    noted = reads.record(tree, accesses())
    states = {path.decode(): state.kind for path, state in noted.states.items()}
    assert states == {
        "": "directory",
        "bin": "symlink",
        "etc": "directory",
        "etc/alternatives": "directory",
        "etc/alternatives/awk": "symlink",
        "etc/gone/x": "absent",
        "etc/loop": "symlink",
        "usr": "directory",
        "usr/bin": "directory",
        "usr/bin/awk": "symlink",
        "usr/bin/mawk": "file",
        "usr/lib": "directory",
        "usr/lib/empty": "directory",
        "usr/lib/empty/new": "absent",
    }
    assert reads.Reads.from_json(noted.to_json()) == noted
    with pytest.raises(ValueError):
        reads.Reads.from_json(json.dumps({"format": 99}))


def replaced(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (lambda t: (t / "etc/unrelated").write_text("x"), None),
        (lambda t: (t / "usr/bin/other").write_text("x"), None),
        (lambda t: (t / "etc/gone").mkdir(), None),
        (lambda t: (t / "usr/bin/mawk").write_text("gawk"), "/usr/bin/mawk"),
        (lambda t: (t / "usr/bin/mawk").chmod(0o700), "/usr/bin/mawk"),
        (lambda t: os.setxattr(t / "usr/bin/mawk", "user.x", b"1"), "/usr/bin/mawk"),
        (lambda t: os.chown(t / "usr/bin/mawk", 1, 0), "/usr/bin/mawk"),
        (lambda t: os.link(t / "usr/bin/mawk", t / "usr/bin/second"), "/usr/bin/mawk"),
        (lambda t: replaced(t / "etc/alternatives/awk", "/usr/bin/gawk"), "/etc/alternatives/awk"),
        (lambda t: (t / "usr/lib/more").write_text("x"), "/usr/lib"),
        (lambda t: (t / "usr/lib/empty/new").write_text("x"), "/usr/lib/empty/new"),
        (lambda t: (t / "usr/lib/empty").chmod(0o700), "/usr/lib/empty"),
        (lambda t: ((t / "etc/gone").mkdir(), (t / "etc/gone/x").touch()), "/etc/gone/x"),
        (
            lambda t: ((t / "o").mkdir(), (t / "o/x").touch(), (t / "etc/gone").symlink_to("/o")),
            "/etc/gone/x",
        ),
        (lambda t: (t / "etc/gone").symlink_to("/"), None),
    ],
)
def test_same(
    tree: Path, tmp_path: Path, change: Callable[[Path], object], differs: str | None
) -> None:
    noted = reads.record(tree, accesses())
    other = tmp_path / "other"
    shutil.copytree(tree, other, symlinks=True)
    assert reads.same(other, noted) is None
    before = {path: path.lstat().st_ctime_ns for path in other.rglob("*")}
    change(other)
    assert reads.same(other, noted) == differs
    after = {path: path.lstat().st_ctime_ns for path in other.rglob("*")}
    changed = frozenset(
        os.fsencode(path.relative_to(other))
        for path in before.keys() | after.keys()
        if before.get(path) != after.get(path)
    )
    assert reads.same(other, noted, changed=reads.Changed(changed)) == differs
    assert reads.same(other, noted, changed=reads.Changed(frozenset())) is None


def test_modification_times_are_the_callers_business(tree: Path) -> None:
    noted = reads.record(tree, accesses())
    os.utime(tree / "usr/bin/mawk", (1, 1))
    assert reads.same(tree, noted) is None
    assert reads.same(tree, noted, mtimes=True) == "/usr/bin/mawk"


def test_moved_directories_are_read_as_a_whole(tree: Path) -> None:
    noted = reads.record(tree, [Access(b"/usr", Kind.TREE, False)])
    (tree / "usr/bin/mawk").write_text("gawk")
    assert reads.same(tree, noted) == "/usr/bin/mawk"
