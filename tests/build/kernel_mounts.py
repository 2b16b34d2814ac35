"""Mount file systems in a namespace of their own, and check them with the tools of others."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MOUNT_NAMESPACE = 0x20000


@contextmanager
def own_namespace() -> Iterator[None]:
    """Mounts of these tests are seen by nobody else, who would keep them in use."""
    library = ctypes.CDLL(None, use_errno=True)
    before, directory = os.open("/proc/self/ns/mnt", os.O_RDONLY), Path.cwd()
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    assert library.unshare(_MOUNT_NAMESPACE) == 0, os.strerror(ctypes.get_errno())
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    yield
    assert library.setns(before, _MOUNT_NAMESPACE) == 0, os.strerror(ctypes.get_errno())
    os.fchdir(root)
    os.chroot(".")  # setns(2) leaves the chroot that the tests may run in
    os.chdir(directory)
    os.close(before)
    os.close(root)


@contextmanager
def mounted(image: Path, options: str) -> Iterator[Path]:
    """The image, on a loop device of its own."""
    directory = image.with_name("mounted")
    directory.mkdir(exist_ok=True)
    argv: list[str | Path] = ["losetup", "--find", "--show", image]
    loop = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    try:
        subprocess.run(["mount", "-o", options, loop, directory], check=True)
        try:
            yield directory
        finally:
            subprocess.run(["umount", directory], check=True)
    finally:
        subprocess.run(["losetup", "--detach", loop], check=True)


def check(image: Path, kind: str, now: int | None = None) -> None:
    """Check a file system; ``now`` is the time that it was made at, if that is in the future."""
    commands: dict[str, list[str | Path]] = {
        "xfs": ["xfs_repair", "-n", "-f", image],
        "btrfs": ["btrfs", "check", "--check-data-csum", image],
    }
    argv = commands.get(kind, ["e2fsck", "-f", "-n", image])
    done = subprocess.run(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=os.environ | ({"E2FSCK_TIME": f"{now}"} if now else {}),
    )
    assert done.returncode == 0, done.stdout
