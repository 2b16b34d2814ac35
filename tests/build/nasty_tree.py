"""Steps that make and change a tree with everything in it that is hard to keep.

:func:`main` is for other processes, ``python -c``: workers import actions from their module.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from kiwinb.checkpoints.runner import run_steps
from kiwinb.checkpoints.store import Store
from kiwinb.checkpoints.treescan import to_json
from kiwinb.sandbox.devices import make_device
from kiwinb.steps.step import DraftStep, HostPaths, Output, Step, StepContext, seal

# struct vfs_cap_data, revision 2, effective: cap_net_bind_service
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
# POSIX ACL, version 2: user::rw-, user:1234:r--, group::r--, mask::r--, other::---
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, mode, who)
    for tag, mode, who in (
        (1, 6, 0xFFFFFFFF),
        (2, 4, 1234),
        (4, 4, 0xFFFFFFFF),
        (16, 4, 0xFFFFFFFF),
        (32, 0, 0xFFFFFFFF),
    )
)


def _write(path: Path, text: str, owner: int = 0, mode: int = 0o644) -> Path:
    path.write_text(text)
    os.chown(path, owner, owner)
    path.chmod(mode)
    return path


@dataclass(frozen=True)
class MakeNasty:
    """A tree of every kind of thing."""

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        root = context.root
        root.chmod(0o751)
        os.chown(root, 3, 4)
        os.setxattr(root, "user.top", b"root of the tree")
        for name in ("links", "links/sub", "gone", "gone/deep", "swapped", "moved", "kept", "dev"):
            (root / name).mkdir()
        # hard links: in-place changes must show in all names
        for group in ("content", "mode", "owner", "replaced", "untouched", "removed", "extended"):
            first = _write(root / "links" / f"{group}-1", f"{group} of the first step\n", 7)
            os.link(first, root / "links" / "sub" / f"{group}-2")
            os.link(first, root / f"{group}-3")
        (root / "link-1").symlink_to("links/content-1")
        os.link(root / "link-1", root / "link-2", follow_symlinks=False)
        _write(root / "gone" / "deep" / "file", "x")
        _write(root / "gone" / "becomes-directory", "x")
        _write(root / "swapped" / "old", "x")
        _write(root / "moved" / "file", "moved content", 99)
        os.setxattr(root / "moved", "user.moved", b"1")
        _write(root / "setuid", "s", 0, 0o6755)
        _write(root / "sticky", "s", 65534, 0o1644)
        os.setxattr(_write(root / "cap", "c", 0, 0o755), "security.capability", CAPABILITY)
        os.setxattr(_write(root / "cap-copied", "c", 0, 0o755), "security.capability", CAPABILITY)
        os.setxattr(_write(root / "acl", "a", 0, 0o640), "system.posix_acl_access", ACL)
        os.setxattr(_write(root / "xattr", "x"), "user.note", b"\0\xff\n")
        os.setxattr(root / "kept", "user.directory", b"d")
        with (root / "sparse").open("wb") as file:
            file.truncate(8 << 20)
            file.seek(4 << 20)
            file.write(b"in the middle")
        os.mkfifo(root / "fifo", 0o620)
        with socket.socket(socket.AF_UNIX) as listener:
            before = os.open(".", os.O_RDONLY)
            os.chdir(root)
            listener.bind("socket")
            os.fchdir(before)
            os.close(before)
        make_device(root / "dev" / "null", stat.S_IFCHR | 0o666, 1, 3)
        make_device(root / "dev" / "sda", stat.S_IFBLK | 0o660, 8, 0)
        make_device(root / "dev" / "gone", stat.S_IFCHR | 0o600, 4, 64)
        os.chown(root / "dev" / "sda", 0, 6)
        (root / "absolute").symlink_to("/etc/passwd")
        (root / "dangling").symlink_to("../../nowhere")
        os.lchown(root / "dangling", 5, 5)
        for odd in (
            b"new\nline",
            b"\xff\xfe not utf-8",
            b" space ",
            b"-rf",
            b"\\back",
            b"\xc3\xa9",
        ):
            _write(Path(os.fsdecode(os.fsencode(root) + b"/" + odd)), "odd name")
        _write(root / ("n" * 255), "long name")


@dataclass(frozen=True)
class ChangeNasty:
    """Change that tree in every way that layers find hard."""

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        root = context.root
        with (root / "links" / "content-1").open("a") as file:
            file.write("and a line of the second\n")
        (root / "links" / "sub" / "mode-2").chmod(0o600)
        os.chown(root / "owner-3", 11, 12)
        _write(root / "new", "replaced by another file\n").rename(root / "replaced-3")
        (root / "links" / "removed-1").unlink()
        os.link(root / "extended-3", root / "links" / "sub" / "extended-4")
        os.utime(root / "link-1", (1, 1), follow_symlinks=False)
        subprocess.run(["rm", "-r", root / "gone"], check=True)
        (root / "gone").mkdir(0o700)
        (root / "gone" / "becomes-directory").mkdir()
        _write(root / "gone" / "new", "y")
        subprocess.run(["rm", "-r", root / "swapped"], check=True)
        (root / "swapped").symlink_to("moved-to")
        subprocess.run(["mv", root / "moved", root / "moved-to"], check=True)
        _write(root / "cap-copied", "changed", 0, 0o755)
        os.setxattr(root / "cap-copied", "security.capability", CAPABILITY)
        (root / "kept").chmod(0o711)
        os.removexattr(root / "xattr", "user.note")
        os.setxattr(root / "acl", "user.more", b"more")
        with (root / "sparse").open("r+b") as file:
            file.seek(6 << 20)
            file.write(b"and near the end")
        (root / "dev" / "gone").unlink()
        os.chown(root / "dev" / "null", 0, 1)
        (root / "fifo").chmod(0o600)
        os.lchown(root / "dangling", 6, 6)
        (root / "absolute").unlink()
        _write(root / "absolute", "now a file")
        Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe not utf-8")).unlink()


@dataclass(frozen=True)
class ChangeNastyAgain:
    """A third layer: bring back what the second one took away, and change links again."""

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        root = context.root
        (root / "swapped").unlink()
        (root / "swapped").mkdir()
        _write(root / "swapped" / "old", "back again")
        with (root / "content-3").open("w") as file:
            file.write("third\n")
        (root / "links" / "untouched-1").chmod(0o604)
        _write(root / "gone" / "deep", "a file now")
        make_device(root / "dev" / "gone", stat.S_IFCHR | 0o600, 4, 65)
        subprocess.run(["cp", "-a", root / "links", root / "copied"], check=True)


def nasty_steps() -> tuple[Step, ...]:
    return seal(
        (
            DraftStep("make", "Make", MakeNasty()),
            DraftStep("change", "Change", ChangeNasty(), base="make"),
            DraftStep("again", "Change again", ChangeNastyAgain(), base="change"),
        )
    )


def main(store: Path, backend: str) -> None:
    """Run the steps in a store, and print the resulting trees as JSON lines."""
    steps = nasty_steps()
    opened = Store.open(store, backend="copy" if backend == "copy" else "overlay")
    run_steps(opened, steps, HostPaths(cache=store / "cache"))
    for step in steps:
        sys.stdout.write(to_json(opened.scan(step.key)))
    damaged = opened.verify_all()
    assert not damaged, damaged
