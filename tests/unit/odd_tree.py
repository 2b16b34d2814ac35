"""A small tree of things that archives find hard, and actions run on it."""

from __future__ import annotations

import os
import socket
import stat
import struct
from pathlib import Path

from kiwinb.sandbox.devices import make_device
from kiwinb.steps.step import Action, HostPaths, StepContext

EPOCH = 1_700_000_000

# struct vfs_cap_data, revision 2, effective: cap_net_bind_service
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)


def acl(mode: int) -> bytes:
    """A POSIX ACL, version 2, that gives user 1234 the permissions."""
    entries = ((1, 7, -1), (2, mode, 1234), (4, 5, -1), (16, 7, -1), (32, 0, -1))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)


def at(root: Path, name: bytes) -> Path:
    return Path(os.fsdecode(os.fsencode(root) + b"/" + name))


def make_tree(root: Path, *, sockets: bool = True) -> Path:
    root.mkdir()
    root.chmod(0o751)
    os.chown(root, 3, 4)
    for name in ("a", "a/deep", "nodes", "image", "tmp", "run", "var", "inherits"):
        (root / name).mkdir()
    (root / "tmp").chmod(0o1777)
    (root / "a" / "file").write_bytes(os.fsencode("content\n" * 1000))
    os.chown(root / "a" / "file", 1000, 65534)
    os.utime(root / "a" / "file", (EPOCH - 5.5, EPOCH - 5.5))
    os.link(root / "a" / "file", root / "a" / "deep" / "again")
    os.link(root / "a" / "file", root / "z-again")
    (root / "tmp" / "first").write_text("one of three")
    os.link(root / "tmp" / "first", root / "var" / "second")
    os.link(root / "tmp" / "first", root / "var" / "third")
    (root / "empty").touch()
    (root / "setuid").write_text("s")
    (root / "setuid").chmod(0o4755)
    (root / "cap").write_text("c")
    os.setxattr(root / "cap", "security.capability", CAPABILITY)
    (root / "acl").write_text("a")
    os.setxattr(root / "acl", "system.posix_acl_access", acl(4))
    os.setxattr(root / "inherits", "user.note", b"\0=\xff\n")
    (root / "inherits" / "child").write_text("made before the default ACL")
    os.setxattr(root / "inherits", "system.posix_acl_default", acl(6))
    (root / "link").symlink_to("a/file")
    (root / "dangling").symlink_to("../" * 50 + "nowhere")
    os.lchown(root / "dangling", 5, 5)
    os.link(root / "link", root / "link-too", follow_symlinks=False)
    os.mkfifo(root / "fifo")
    os.chown(root / "fifo", 0, 9)
    if sockets:
        with socket.socket(socket.AF_UNIX) as listener:
            directory = os.open(root, os.O_RDONLY)
            listener.bind(f"/proc/self/fd/{directory}/socket")
            os.close(directory)
    make_device(root / "nodes" / "null", stat.S_IFCHR | 0o666, 1, 3)
    make_device(root / "nodes" / "sda", stat.S_IFBLK | 0o660, 8, 0)
    os.chown(root / "nodes" / "sda", 0, 6)
    for odd in (b"\xff\xfe", b"new\nline", b"\xc3\xa9", b"-rf", b" ", b"n" * 255):
        at(root, odd).write_bytes(odd)
    path = root
    for _ in range(6):
        path /= "d" * 60
        path.mkdir()
    (path / "far").write_text("far down")
    (root / "far").symlink_to(path.relative_to(root) / "far")
    os.link(path / "far", root / "a" / "near")
    with (root / "sparse").open("wb") as file:
        file.truncate(3 << 20)
        file.seek(2 << 20)
        file.write(b"data")
    (root / "image" / "config.xml").write_text("<image/>")
    (root / ".profile").write_text("name=value")
    return root


def run_action(action: Action, root: Path, out: Path, **inputs: Path) -> Path:
    """Run an action as a step does, but in this process."""
    out.mkdir()
    fractions: list[float] = []
    context = StepContext(
        root=root,
        out=out,
        inputs={name.replace("_", "-"): path for name, path in inputs.items()},
        host=HostPaths(cache=out),
        log=lambda line: None,
        progress=fractions.append,
        rootless=False,
    )
    action.run(context)
    assert fractions == sorted(fractions)
    assert all(0 <= fraction <= 1 for fraction in fractions)
    return out
