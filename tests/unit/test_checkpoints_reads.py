"""What a command read of a tree, and other trees that are the same there."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kiwinb.checkpoints import reads
from kiwinb.sandbox.observation import Access, Kind, Link

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
        (lambda t: (t / "usr").chmod(0o700), "/usr"),
        (lambda t: os.chown(t / "etc", 1, 0), "/etc"),
        (lambda t: os.setxattr(t / "etc", "user.x", b"1"), "/etc"),
        (lambda t: os.utime(t / "etc", (1, 1)), None),
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


def test_what_cannot_be_made_without_a_directory_can_be_made_in_one(tree: Path) -> None:
    noted = reads.record(tree, [Access(b"/etc/gone/deep/x", Kind.ENTRY, False)])
    assert reads.same(tree, noted) is None
    (tree / "etc/gone").mkdir()
    assert reads.same(tree, noted) == "/etc/gone"
    changed = reads.Changed(frozenset({b"etc/gone"}))
    assert reads.same(tree, noted, changed=changed) == "/etc/gone"


def test_device_numbers(tree: Path) -> None:
    os.mknod(tree / "etc/node", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    noted = reads.record(tree, [Access(b"/etc/node", Kind.LOOKUP)])
    assert reads.Reads.from_json(noted.to_json()) == noted
    assert reads.same(tree, noted) is None
    (tree / "etc/node").unlink()
    os.mknod(tree / "etc/node", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    assert reads.same(tree, noted) == "/etc/node"


def test_a_link_that_led_to_many_places(tree: Path) -> None:
    names = [f"etc/{number}" for number in range(60)]
    for name in names:
        (tree / name).mkdir()
        (tree / name / "file").write_text("one")
    links = [Link(b"/cur", b"/" + name.encode()) for name in names]
    noted = reads.record(tree, [Access(b"/cur/file", Kind.CONTENT)], links)
    for name in names:
        (tree / name / "file").write_text("two")
        assert reads.same(tree, noted) == f"/{name}/file"
        (tree / name / "file").write_text("one")


def test_too_many_ways(tree: Path) -> None:
    with pytest.raises(ValueError, match="too many ways"):
        reads.record(tree, [Access(b"/x/file", Kind.CONTENT)], [Link(b"/x", b"/x/x")])


@pytest.mark.parametrize("target", ["/proc/self/root", "../proc/self/cwd", "/proc/1/fd/7"])
def test_a_link_out_of_the_tree_and_back(tree: Path, target: str) -> None:
    (tree / "etc/way").symlink_to(target)
    reads.record(tree, [Access(b"/etc/way", Kind.LOOKUP, False)])
    with pytest.raises(ValueError, match="a path through /etc/way/usr/bin/mawk"):
        reads.record(tree, [Access(b"/etc/way/usr/bin/mawk", Kind.CONTENT)])


def test_names_that_no_tree_can_have(tree: Path) -> None:
    name = b"x" * 256
    paths = [b"/" + name, b"/usr/%b/bin" % name, b"/usr/bin/mawk/" + name]
    noted = reads.record(tree, [Access(path, Kind.CONTENT) for path in paths])
    assert noted.states[name].kind == "absent"
    assert reads.same(tree, noted) is None
    assert reads.same(tree, reads.Reads.from_json(noted.to_json())) is None


def test_a_deep_directory_that_moves(tree: Path) -> None:
    deep = b"usr" + b"/d" * 1200
    for length in range(5, len(deep) + 1, 2):
        (tree / os.fsdecode(deep[:length])).mkdir(exist_ok=True)
    try:
        noted = reads.record(tree, [Access(b"/usr", Kind.TREE, False)])
    finally:
        subprocess.run(["rm", "-r", tree / "usr/d"], check=True)
    assert deep in noted.states


@pytest.mark.parametrize("path", [b"/run/e/awk", b"/proc/../usr/bin/awk", b"/dev/x/../../bin/awk"])
def test_a_way_through_a_mount(tree: Path, path: bytes) -> None:
    links = [Link(b"/dev/first", b"/usr/bin"), Link(b"/run/e", b"/dev/first")]
    noted = reads.record(tree, [Access(path, Kind.CONTENT)], links)
    assert noted.states[b"usr/bin/mawk"].digest
    assert b"run" not in noted.states
