"""The same steps give the same trees: as root and rootless, as layers and as copies."""

from __future__ import annotations

from pathlib import Path

import pytest
from nasty_tree import CAPABILITY, nasty_steps
from store_program import Account, accounts

from kiwinb.checkpoints.runner import run_steps
from kiwinb.checkpoints.store import Store
from kiwinb.checkpoints.treescan import Entry, compare, from_json
from kiwinb.steps.step import HostPaths

pytestmark = pytest.mark.build

_BUILD = """
import sys
from pathlib import Path
from nasty_tree import main
main(Path(sys.argv[1]), sys.argv[2])
"""


def _trees(account: Account, backend: str) -> tuple[tuple[Entry, ...], ...]:
    """The trees of all steps."""
    with account.directory() as directory:
        lines = account.run(_BUILD, str(directory / "store"), backend)
    trees: list[list[Entry]] = []
    for entry in from_json(lines):
        if entry.path == b".":
            trees.append([])
        trees[-1].append(entry)
    return tuple(map(tuple, trees))


def test_root_and_rootless_layers_and_copies() -> None:
    first, *others = [
        (f"{account.user} {backend}", _trees(account, backend))
        for account in accounts()
        for backend in ("overlay", "copy")
    ]
    assert len(first[1]) == len(nasty_steps())
    for name, trees in others:
        for number, (one, other) in enumerate(zip(first[1], trees, strict=True)):
            assert compare(one, other) == (), f"step {number}: {first[0]} and {name}"


def test_the_trees_are_what_the_steps_say() -> None:
    trees = _trees(accounts()[0], "overlay")
    first, second, third = ({entry.path: entry for entry in tree} for tree in trees)
    assert (first[b"."].mode, first[b"."].uid, first[b"."].gid) == (0o751, 3, 4)
    assert first[b"."].xattrs == third[b"."].xattrs == (("user.top", b"root of the tree"),)
    assert first[b"dev/null"].kind == "char"
    assert first[b"dev/sda"].device == (8, 0)
    assert first[b"cap"].xattrs == (("security.capability", CAPABILITY),)
    assert first[b"\xff\xfe not utf-8"].kind == "file"
    for name in (b"content", b"mode", b"owner", b"untouched"):
        names = (name + b"-3", b"links/" + name + b"-1", b"links/sub/" + name + b"-2")
        for tree in (first, second, third):
            assert {tree[path].link for path in names} == {min(names)}
            assert len({(tree[path].mode, tree[path].uid, tree[path].size) for path in names}) == 1
    assert second[b"content-3"].size > first[b"content-3"].size > third[b"content-3"].size
    assert second[b"links/sub/mode-2"].mode == 0o600
    assert (second[b"owner-3"].uid, second[b"owner-3"].gid) == (11, 12)
    assert second[b"replaced-3"].link == b""
    assert second[b"links/replaced-1"].link == b"links/replaced-1"
    assert second[b"links/sub/extended-4"].link == b"extended-3"
    assert b"gone/deep" not in second and third[b"gone/deep"].kind == "file"
    assert second[b"gone/becomes-directory"].kind == "directory"
    assert second[b"swapped"].kind == "symlink" and third[b"swapped/old"].kind == "file"
    assert second[b"moved-to/file"].uid == 99 and b"moved" not in second
    assert not {b"dev/gone", b"\xff\xfe not utf-8"} & second.keys()
    assert third[b"dev/gone"].device == (4, 65)
    pair = (b"copied/content-1", b"copied/sub/content-2")
    assert {third[path].link for path in pair} == {pair[0]}


@pytest.mark.parametrize("backend", ["overlay", "copy"])
def test_untouched_hard_links_cost_nothing(tmp_path: Path, backend: str) -> None:
    store = Store.open(tmp_path / "store", backend="copy" if backend == "copy" else "overlay")
    steps = nasty_steps()
    made = run_steps(store, steps, HostPaths(cache=tmp_path))
    kept = store.files(made["change"])
    assert (kept / "links" / "untouched-1").exists() == (backend == "copy")
    assert (kept / "links" / "content-1").exists()
    store.remove([step.key for step in steps])


@pytest.mark.parametrize("backend", ["overlay", "copy"])
def test_export_and_import_keep_everything(tmp_path: Path, backend: str) -> None:
    with accounts()[0].directory() as directory:
        store = Store.open(directory / "store", backend="copy" if backend == "copy" else "overlay")
        steps = nasty_steps()
        run_steps(store, steps, HostPaths(cache=tmp_path))
        exported = directory / "tree"
        store.export_tree(steps[-1].key, exported)
        sparse = exported / "sparse"
        assert sparse.stat().st_blocks * 512 < sparse.stat().st_size / 4
        key = store.import_tree(exported)
        assert compare(store.scan(steps[-1].key), store.scan(key)) == ()
