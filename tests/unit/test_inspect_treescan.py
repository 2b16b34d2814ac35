from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from kiwinb.checkpoints.treescan import Entry, compare, from_json, scan, to_json
from kiwinb.sandbox.devices import DEVICE_ATTRIBUTE


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "b").mkdir(parents=True)
    (root / "b" / "file").write_text("abc")
    os.link(root / "b" / "file", root / "again")
    (root / "link").symlink_to("/b")
    os.mkfifo(root / "fifo")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff\n")).write_text("odd")
    (root / "null").touch()
    os.setxattr(root / "null", DEVICE_ATTRIBUTE, b"c:1:3")
    os.setxattr(root / "b", "user.note", b"\0\xff")
    return root


def test_lists_everything(tree: Path) -> None:
    entries = {entry.path: entry for entry in scan(tree)}
    assert list(entries) == [b".", b"again", b"b", b"b/file", b"fifo", b"link", b"null", b"\xff\n"]
    assert entries[b"b/file"].sha256 == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    assert entries[b"b/file"].link == entries[b"again"].link == b"again"
    assert entries[b"\xff\n"].link == b""
    assert entries[b"link"].target == b"/b"
    assert entries[b"fifo"].kind == "fifo"
    assert (entries[b"null"].kind, entries[b"null"].device) == ("char", (1, 3))
    assert entries[b"null"].xattrs == ()
    assert entries[b"b"].xattrs == (("user.note", b"\0\xff"),)


def test_contents_can_be_left_out(tree: Path) -> None:
    assert not any(entry.sha256 for entry in scan(tree, contents=False))


def test_json_keeps_every_byte(tree: Path) -> None:
    entries = scan(tree)
    assert from_json(to_json(entries)) == entries


def test_equal_trees_do_not_differ(tree: Path) -> None:
    assert compare(scan(tree), scan(tree)) == ()


def test_differences_are_told() -> None:
    one = Entry(b"a\n", "file", 0o644, 0, 0, 3, "x")
    other = replace(one, mode=0o600, xattrs=(("user.x", b"1"),))
    gone, new = replace(one, path=b"gone"), replace(one, path=b"new")
    assert compare((one, gone), (other, new)) == (
        "a\\n: mode 0o644 and 0o600",
        "a\\n: xattrs () and (('user.x', b'1'),)",
        "gone: only in the first",
        "new: only in the second",
    )


def test_checksums_of_files_with_holes(tmp_path: Path) -> None:
    for name, pieces in {
        "hole first": ((5 << 20, b"x" * 5000),),
        "hole last": ((0, b"y" * 9000),),
        "all hole": (),
        "many": ((4096, b"a"), (3 << 20, b"b" * 70000), (7 << 20, b"c")),
    }.items():
        with (tmp_path / name).open("wb") as file:
            for at, data in pieces:
                file.seek(at)
                file.write(data)
            file.truncate(9 << 20)
    found = {entry.path.decode(): entry.sha256 for entry in scan(tmp_path) if entry.kind == "file"}
    assert found == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()
    }
