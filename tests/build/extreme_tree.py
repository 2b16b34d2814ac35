"""Trees with as much of everything as a file system can hold, or less of it for quick tests."""

from __future__ import annotations

import os
import random
import socket
import stat
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from made_filesystem import colliding_names
from odd_tree import CAPABILITY, acl

from kiwinb.sandbox.devices import make_stand_in

YEAR = 31_556_952
TIB = 1 << 40


@dataclass(frozen=True)
class Measure:
    """How much of everything.

    Attributes:
        files: Number of files in one directory.
        depth: Number of directories, each in the one before.
        links: Number of hard links to a file.
        subdirectories: Number of directories in one directory.
        attributes: Number of extended attributes of a file.
        value: Bytes of the longest extended attribute.
        target: Bytes of the longest target of a symbolic link.
        hole: Size of the largest file, which has a little data at its end.
        major: Largest major number of a device node.
        minor: Largest minor number of a device node.
        times: Earliest and latest time, in seconds since 1970-01-01 UTC.
        flags: Words for chattr, one for each file.
        special: Whether there are ACLs.
        name: Bytes of the longest name.
        long: Whether there are paths of more than 4096 bytes.
    """

    files: int = 1500
    depth: int = 75
    links: int = 500
    subdirectories: int = 400
    attributes: int = 40
    value: int = 1500
    target: int = 4095
    hole: int = 15 * TIB
    major: int = (1 << 12) - 1
    minor: int = (1 << 20) - 1
    times: tuple[int, int] = (-(1 << 31), 4_000_000_000)
    flags: tuple[str, ...] = ("i", "a", "d", "A")
    special: bool = True
    name: int = 255
    long: bool = True


def make_extreme_tree(root: Path, much: Measure) -> Path:
    """Make a tree, best on a tmpfs."""
    root.mkdir()
    top = os.open(root, os.O_RDONLY)
    _many(root, much)
    _deep(top, much)
    _odd_names(root, much)
    _nodes(root, much)
    _metadata(root, much)
    _contents(root, much)
    os.close(top)
    return root


def _many(root: Path, much: Measure) -> None:
    chance = random.Random(1)
    for name in ("files", "links", "subdirectories", "empty"):
        (root / name).mkdir()
    files = os.open(root / "files", os.O_RDONLY)
    for number in range(much.files):
        name = f"{number}-" + "x" * chance.randrange(40)
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o640, dir_fd=files))
    os.close(files)
    (root / "links/0").write_text("many names")
    for number in range(1, much.links):
        os.link(root / "links/0", root / f"links/{number}")
    for number in range(much.subdirectories):
        (root / f"subdirectories/{number}").mkdir()


def _deep(top: int, much: Measure) -> None:
    """Make directories in directories, so deep that no path reaches the last one."""
    name = "deep-" + "d" * (55 if much.long else 3)
    at = os.dup(top)
    for number in range(much.depth):
        own = f"{name}{number}"
        os.mkdir(own, dir_fd=at)
        below = os.open(own, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    descriptor = os.open("far", os.O_CREAT | os.O_WRONLY, 0o4711, dir_fd=at)
    os.write(descriptor, b"far down")
    os.setxattr(descriptor, "user.note", b"far")
    os.close(descriptor)
    os.symlink("nowhere", "link", dir_fd=at)
    os.link("far", "again", src_dir_fd=at, dst_dir_fd=at)
    os.close(at)


def _odd_names(root: Path, much: Measure) -> None:
    (root / "names").mkdir()
    names = os.fsencode(root / "names")
    for byte in range(1, 256):
        if byte != ord("/"):
            Path(os.fsdecode(names + b"/%c.x" % byte)).write_bytes(bytes([byte]))
    for name in (b"n" * much.name, b"\xff" * much.name, b"...", b"\xe2\x80\xae", b"a\nb" * 30):
        Path(os.fsdecode(names + b"/" + name)).touch()
    for name in colliding_names(40):
        Path(os.fsdecode(names + b"/" + name[-much.name :])).touch()


def _nodes(root: Path, much: Measure) -> None:
    (root / "nodes").mkdir()
    for kind, letter in ((stat.S_IFCHR, "c"), (stat.S_IFBLK, "b")):
        for major, minor in ((0, 0), (255, 255), (256, 1), (1, 256), (much.major, much.minor)):
            os.mknod(
                root / f"nodes/{letter}{major}-{minor}", kind | 0o640, os.makedev(major, minor)
            )
        make_stand_in(root / f"nodes/{letter}-stand-in", kind | 0o604, much.major, much.minor)
    os.mkfifo(root / "nodes/fifo", 0o602)
    with socket.socket(socket.AF_UNIX) as listener:
        directory = os.open(root / "nodes", os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{directory}/socket")
        os.close(directory)
    (root / "nodes/socket").chmod(0o751)
    os.setxattr(root / "nodes/socket", "trusted.note", b"of a socket")
    os.link(root / "nodes/socket", root / "nodes/socket-again")


def _metadata(root: Path, much: Measure) -> None:
    (root / "metadata").mkdir()
    place = root / "metadata"
    for owner in (1, 65535, 65536, 2097152, (1 << 32) - 2):
        (place / f"owner-{owner}").touch()
        os.chown(place / f"owner-{owner}", owner, owner)
    (place / "attributes").touch()
    for number in range(much.attributes):
        name = f"user.{number}-{'n' * (number % 60)}"
        os.setxattr(place / "attributes", name, b"%d" % number * (number % 9))
    (place / "directory").mkdir()
    for size in (0, 1, 250, 255, 256, much.value // 2, much.value):
        (place / f"value-{size}").touch()
        os.setxattr(place / f"value-{size}", "user.v", bytes(n % 251 for n in range(size)))
    os.setxattr(place / "directory", "user." + "n" * 250, b"x" * (much.value // 2))
    os.setxattr(place / "directory", "trusted.t", b"t")
    (place / "capable").write_text("c")
    os.setxattr(place / "capable", "security.capability", CAPABILITY)
    if much.special:
        os.setxattr(place / "directory", "system.posix_acl_default", acl(6))
        os.setxattr(place / "capable", "system.posix_acl_access", acl(4))
    first, last = much.times
    for seconds in {first, -1, 0, 1, (1 << 31) - 1, 1 << 31, last}:
        if first <= seconds <= last:
            file = place / f"time-{seconds}"
            file.touch()
            os.utime(file, ns=(0, seconds * 10**9 + (999_999_999 if seconds < last else 0)))
            link = place / f"link-{seconds}"
            link.symlink_to("x")
            os.utime(link, ns=(0, seconds * 10**9), follow_symlinks=False)
    for flag in much.flags:
        (place / f"flag-{flag}").write_text(flag)
        (place / f"flag-{flag}.d").mkdir()
        paths = (place / f"flag-{flag}", place / f"flag-{flag}.d")
        subprocess.run(["chattr", f"+{flag}", *paths], check=True)


def _contents(root: Path, much: Measure) -> None:
    (root / "contents").mkdir()
    place = root / "contents"
    for length in sorted({1, 59, 60, 61, 158, 336, 1023, much.target}):
        if length <= much.target:
            target = ("t" * 99 + "/") * (length // 100) + "u" * (length % 100)
            (place / f"target-{length}").symlink_to(target)
    os.setxattr(place / "target-59", "trusted.note", b"of a link", follow_symlinks=False)
    os.setxattr(place / "target-1023", "trusted.note", b"l" * 200, follow_symlinks=False)
    for size in (1, 100, 2048, 4095, 4096, 4097, 65537):
        (place / f"data-{size}").write_bytes(struct.pack("<I", size) * (size // 4 + 1))
        os.truncate(place / f"data-{size}", size)
    with (place / "only-a-hole").open("wb") as file:
        file.truncate(much.hole)
    with (place / "hole").open("wb") as file:
        file.write(b"first")
        for power in range(13, much.hole.bit_length() - 1, 3):
            file.seek(1 << power)
            file.write(b"at %d" % power)
        file.truncate(much.hole)
        file.seek(much.hole - 4)
        file.write(b"last")
    with (place / "pieces").open("wb") as file:
        for number in range(700):
            file.seek(number * 8192)
            file.write(b"piece %d" % number)
