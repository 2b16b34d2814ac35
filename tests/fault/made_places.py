"""File systems and paths of all kinds, on which a user may want to have a store."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

Making = Callable[[Path, ExitStack], Path]
"""Makes a directory of some kind below another one; what it is on goes with the stack."""

_SIZE = 1 << 30
_PARTS = ("lower", "upper", "work")


def _unmount(point: Path) -> None:
    subprocess.run(["umount", "--lazy", point], check=True)


def _mounted(stack: ExitStack, point: Path, *words: str | Path) -> Path:
    point.mkdir(parents=True)
    subprocess.run([*words, point], check=True, capture_output=True)
    # Lazily, because the kernel lets go of a loop device, and a daemon of FUSE ends, a bit later.
    stack.callback(_unmount, point)
    return point


def _tmpfs(options: str) -> Making:
    def mounted(directory: Path, stack: ExitStack) -> Path:
        return _mounted(stack, directory / "on", "mount", "-t", "tmpfs", "-o", options, "none")

    return mounted


def _image(directory: Path, stack: ExitStack) -> Path:
    """An empty disk in memory, so that a file system with sync does not wait for a real one."""
    image = _tmpfs("size=1g")(directory / "memory", stack) / "disk"
    with image.open("wb") as file:
        file.truncate(_SIZE)
    return image


def _disk(*make: str, options: str = "rw") -> Making:
    def mounted(directory: Path, stack: ExitStack) -> Path:
        image = _image(directory, stack)
        subprocess.run([*make, image], check=True, capture_output=True)
        return _mounted(stack, directory / "on", "mount", "-o", f"loop,{options}", image)

    return mounted


def _layers(directory: Path) -> str:
    for name in _PARTS:
        (directory / name).mkdir()
    return ",".join(f"{name}dir={directory / name}" for name in _PARTS)


def _overlay(directory: Path, stack: ExitStack) -> Path:
    # Each checkpoint is a whole copy there, as overlays do not nest.
    own = _tmpfs("size=3g")(directory / "memory", stack)
    words = ("mount", "-t", "overlay", "-o", _layers(own), "none")
    return _mounted(stack, directory / "on", *words)


def _fuse_overlay(directory: Path, stack: ExitStack) -> Path:
    options = f"{_layers(directory)},allow_other"
    return _mounted(stack, directory / "on", "fuse-overlayfs", "-o", options)


def through_fuse(directory: Path) -> Path:
    """Show a directory through a daemon of FUSE, again if it was shown before.

    Returns:
        The mount point.
    """
    for name in (*_PARTS, "on"):
        (directory / name).mkdir(exist_ok=True)
    parts = ",".join(f"{name}dir={directory / name}" for name in _PARTS)
    command = ["fuse-overlayfs", "-o", f"{parts},allow_other", str(directory / "on")]
    subprocess.run(command, check=True)
    return directory / "on"


_FRESH = ("-o", "attr_timeout=0,entry_timeout=0")
"""Without this, the kernel remembers too few names of a file with several ones."""


def _through_bindfs(*options: str) -> Making:
    def mounted(directory: Path, stack: ExitStack) -> Path:
        (directory / "behind").mkdir(parents=True)
        (directory / "behind").chmod(0o1777)  # its owner cannot be set everywhere
        words = ("bindfs", "-o", "dev,suid", *options, str(directory / "behind"))
        return _mounted(stack, directory / "on", *words)

    return mounted


def _ntfs(directory: Path, stack: ExitStack) -> Path:
    image = _image(directory, stack)
    subprocess.run(["mkfs.ntfs", "--fast", "--force", image], check=True, capture_output=True)
    return _mounted(stack, directory / "on", "ntfs-3g", "-o", "allow_other", image)


def _named(name: str) -> Making:
    def made(directory: Path, _stack: ExitStack) -> Path:
        (directory / name).mkdir(parents=True)
        return directory / name

    return made


SUITABLE: Mapping[str, Making] = {
    "tmpfs": _tmpfs("size=1g"),
    "tmpfs without set-user-ID programs and devices": _tmpfs("size=1g,nosuid,nodev"),
    "ext4 with sync": _disk("mkfs.ext4", "-q", options="sync"),
    "XFS": _disk("mkfs.xfs", "-q"),
    "Btrfs": _disk("mkfs.btrfs", "-q"),
    "overlayfs": _overlay,
    "FUSE: bindfs": _through_bindfs(*_FRESH),
    "FUSE: fuse-overlayfs": _fuse_overlay,
    "a name with special characters": _named("a b,c:d\\e'f\"ä%s\n$(g)=h;i&j#k"),
    "a name that is not UTF-8": _named(b"\xff\xfe".decode("utf-8", "surrogateescape")),
    "a long path": _named("/".join(["n" * 200] * 3)),
}
"""Builds give the same result there as elsewhere."""

SLOW = ("FUSE: bindfs",)
"""Places for the soak: without its caches, FUSE takes minutes for the copies of a tree."""

UNSUITABLE: Mapping[str, tuple[Making, str]] = {
    "read-only": (_tmpfs("size=1g,ro"), "is mounted read-only"),
    "noexec": (_tmpfs("size=1g,noexec"), "is mounted noexec"),
    "without extended attributes": (_through_bindfs("--xattr-none", *_FRESH), "file capabilities"),
    "owners are forgotten": (_through_bindfs("--chown-ignore", *_FRESH), "the owners of files"),
    "owners are refused": (_through_bindfs("--chown-deny", *_FRESH), "the owners of files"),
    "modes are forgotten": (_through_bindfs("--chmod-ignore", *_FRESH), "permissions"),
    "hard links are forgotten": (_through_bindfs(), "hard links"),
    "NTFS": (_ntfs, "does not keep"),
    "a path that is too long": (_named("/".join(["n" * 200] * 6)), "1024 are the most"),
}
"""With what the error says of each: builds end there before they start."""


@contextmanager
def directory_of(user: str) -> Iterator[Path]:
    """A directory of a user; root removes it with all that is in it."""
    made = Path(tempfile.mkdtemp(prefix="kiwinb-place-"))
    try:
        made.chmod(0o755)
        shutil.chown(made, user)
        yield made
    finally:
        shutil.rmtree(made)


@contextmanager
def made_place(making: Making, directory: Path, user: str) -> Iterator[Path]:
    """Make a directory that belongs to a user; what it is on goes at the end."""
    with ExitStack() as stack:
        found = making(directory, stack)
        with suppress(OSError):  # it is read-only, or has no owners
            shutil.chown(found, user)
        yield found
