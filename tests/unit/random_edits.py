"""A small tree, a script that works on it, and random edits of the tree."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

SCRIPT = """
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

TOPS = ("etc", "lib", "var", "opt", "srv", "home")
DIRECTORIES = ("d0", "d1", "d2")
FILES = tuple(f"a{number}" for number in range(5))


def make_tree(root: Path) -> None:
    """Make the tree; it has the shell of the script."""
    busybox = shutil.which("busybox")
    assert busybox
    for top in TOPS:
        for name in DIRECTORIES:
            (root / top / name).mkdir(parents=True)
            for file in FILES:
                (root / top / name / file).write_text(f"{top} {name} {file}")
    for file in FILES:
        (root / "etc" / file).write_text(f"etc {file}")
    (root / "etc/way").symlink_to("/etc/d1")
    (root / "bin").mkdir()
    shutil.copy(busybox, root / "bin/busybox")


def edit_tree(root: Path, chance: random.Random) -> str:
    """Make one edit of a file or directory that is not the shell's own, and return its sort."""
    places = [path for path in sorted(root.rglob("*")) if path.relative_to(root).parts[0] in TOPS]
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
        (directory / chance.choice(("empty", "wanted"))).mkdir(exist_ok=True)
    elif what == "hard":
        os.link(path, directory / "second")
    else:
        shutil.rmtree(chance.choice([d for d in directories if d.parent != root]))
    return what
