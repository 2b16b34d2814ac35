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

from kiwinb.checkpoints import reads
from kiwinb.sandbox.observation import Observation
from kiwinb.sandbox.observe import Observer

pytestmark = [
    pytest.mark.account("root"),
    pytest.mark.needs("busybox"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]

_SCRIPT = """
set -e
busybox mkdir -p /out/deep
busybox cat /etc/a0 /etc/way/a1 > /out/deep/content
for name in /lib/d0/*; do echo "$name" >> /out/names; done
busybox find /lib/d1 -type f > /out/found || echo none > /out/found
busybox ls -ln /etc/a2 | busybox cut -d' ' -f1 > /out/mode || true
busybox cp -a /lib/d2/a3 /out/copy || true
if test -e /etc/wanted; then echo yes > /out/wanted; fi
test -x /lib/d0/a0 && echo runs > /out/runs || true
busybox rm -f /var/d0/a0
busybox ln /out/names /out/linked
busybox ln -s deep /out/link
busybox ls /out/link > /out/through
"""
_Node = tuple[object, ...]


def _make(root: Path) -> None:
    busybox = shutil.which("busybox")
    assert busybox
    for top in ("etc", "lib", "var"):
        for name in ("d0", "d1", "d2"):
            (root / top / name).mkdir(parents=True)
            for number in range(5):
                (root / top / name / f"a{number}").write_text(f"{top} {name} {number}")
    for number in range(5):
        (root / "etc" / f"a{number}").write_text(f"etc {number}")
    (root / "etc/way").symlink_to("/etc/d1")
    (root / "bin").mkdir()
    shutil.copy(busybox, root / "bin/busybox")


def _run(root: Path) -> Observation:
    with Observer() as observer:

        def enter() -> None:
            os.chroot(root)
            os.chdir("/")
            observer.enter()

        subprocess.run(
            ["/bin/busybox", "sh", "-c", _SCRIPT],
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


def _edit(root: Path, chance: random.Random) -> str:
    """One edit of a file or directory that is not the shell's own."""
    places = [path for path in sorted(root.rglob("*")) if path.relative_to(root).parts[0] != "bin"]
    files = [path for path in places if path.is_file() and not path.is_symlink()]
    directories = [path for path in places if path.is_dir() and not path.is_symlink()]
    path, directory = chance.choice(files), chance.choice(directories)
    what = chance.choice(
        [
            "content",
            "mode",
            "owner",
            "xattr",
            "add",
            "delete",
            "rename",
            "link",
            "directory",
            "hard",
            "gone",
        ]
    )
    if what == "content":
        path.write_text(f"new {chance.random()}")
    elif what == "mode":
        chance.choice((path, directory)).chmod(chance.choice((0o700, 0o711, 0o750)))
    elif what == "owner":
        os.chown(chance.choice((path, directory)), 1, 2)
    elif what == "xattr":
        os.setxattr(chance.choice((path, directory)), "user.edited", b"1")
    elif what == "add":
        (directory / chance.choice(("wanted", "new", "zz"))).write_text("added")
    elif what == "delete":
        path.unlink()
    elif what == "rename":
        path.rename(directory / "renamed")
    elif what == "link":
        (root / "etc/way").unlink()
        (root / "etc/way").symlink_to(chance.choice(("d2", "/lib/d1", "nowhere")))
    elif what == "directory":
        (directory / chance.choice(("empty", "wanted"))).mkdir()
    elif what == "hard":
        os.link(path, directory / "second")
    else:
        shutil.rmtree(chance.choice([d for d in directories if d.parent != root]))
    return what


def test_same_reads_mean_the_same_effect(tmp_path: Path) -> None:
    base, first = tmp_path / "base", tmp_path / "first"
    _make(base)
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
        what = _edit(other, chance)
        before = _nodes(other)
        differs = reads.same(other, noted)
        original = _nodes(base)
        changed = [os.fsencode(path) for path in _effect(original, before)]
        assert reads.same(other, noted, changed=changed) == differs, (number, what)
        _run(other)
        if differs is None:
            assert _effect(before, _nodes(other)) == effect, (number, what)
        outcomes["same" if differs is None else "differs"] += 1
        shutil.rmtree(other)
    assert min(outcomes["same"], outcomes["differs"]) > 30, outcomes
