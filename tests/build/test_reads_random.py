"""Random edits of a tree: where nothing that a script read differs, it does the same again."""

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from random_edits import SCRIPT, edit_tree, make_tree

from kiwinb.checkpoints import reads
from kiwinb.sandbox.observation import Observation
from kiwinb.sandbox.observe import Observer

pytestmark = [
    pytest.mark.build,
    pytest.mark.account("root"),
    pytest.mark.needs("busybox"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]

_Node = tuple[object, ...]


def _run(root: Path) -> Observation:
    with Observer() as observer:

        def enter() -> None:
            os.chroot(root)
            os.chdir("/")
            observer.enter()

        subprocess.run(
            ["/bin/busybox", "sh", "-c", SCRIPT],
            preexec_fn=enter,
            check=False,
            env={"PATH": "/bin"},
            capture_output=True,
        )
    return observer.finish()


def _nodes(root: Path) -> dict[str, _Node]:
    nodes: dict[str, _Node] = {}
    for path in root.rglob("*"):
        status = path.lstat()
        content: object = None
        if path.is_symlink():
            content = path.readlink()
        elif stat.S_ISREG(status.st_mode):
            content = (path.read_bytes(), status.st_nlink)
        xattrs = tuple(
            (name, os.getxattr(path, name, follow_symlinks=False))
            for name in os.listxattr(path, follow_symlinks=False)
        )
        nodes[str(path.relative_to(root))] = (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            content,
            xattrs,
        )
    return nodes


def _effect(before: dict[str, _Node], after: dict[str, _Node]) -> dict[str, _Node | None]:
    return {
        path: after.get(path)
        for path in before.keys() | after.keys()
        if before.get(path) != after.get(path)
    }


def test_same_reads_mean_the_same_effect(tmp_path: Path) -> None:
    base, first = tmp_path / "base", tmp_path / "first"
    make_tree(base)
    shutil.copytree(base, first, symlinks=True)
    seen = _run(first)
    assert seen.complete
    noted = reads.record(base, seen.accesses, seen.links)
    effect = _effect(_nodes(base), _nodes(first))
    assert {"out/deep/content", "out/linked", "out/link", "var/d0/a0"} <= effect.keys()
    outcomes: Counter[str] = Counter()
    chance = random.Random(8)
    for number in range(200):
        other = tmp_path / "other"
        shutil.copytree(base, other, symlinks=True)
        what = edit_tree(other, chance)
        before = _nodes(other)
        differs = reads.same(other, noted)
        original = _nodes(base)
        changed = reads.Changed(frozenset(map(os.fsencode, _effect(original, before))))
        assert reads.same(other, noted, changed=changed) == differs, (number, what)
        _run(other)
        if differs is None:
            assert _effect(before, _nodes(other)) == effect, (number, what)
        outcomes["same" if differs is None else "differs"] += 1
        shutil.rmtree(other)
    assert min(outcomes["same"], outcomes["differs"]) > 30, outcomes
