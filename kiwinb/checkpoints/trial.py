"""Try out whether the file system of a store keeps what root trees consist of.

Some file systems refuse an owner, an attribute or a link, others forget them without a word. In the
middle of a build, the first kind would be a strange error, and the second kind another image.
"""

from __future__ import annotations

import errno
import os
import platform
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kiwinb.checkpoints.backend import make_place
from kiwinb.checkpoints.overlay import try_overlay
from kiwinb.errors import HostError, StoreError
from kiwinb.sandbox.devices import make_device, read_device
from kiwinb.sandbox.mounts import bind, make_harmless, unmount
from kiwinb.sandbox.worker import Report

ELSEWHERE = (
    "Put the store on a local Linux file system such as ext4, XFS or Btrfs: the setting `store`, "
    "or KIWINB_STORE."
)

_OWNER = 12345
_TIME = 1_234_567_890_123_456_789
_CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
"""``cap_net_raw=ep`` as the kernel keeps it; see capabilities(7)."""


@dataclass(frozen=True)
class TrialJob:
    """Find out what the file system of a store supports.

    Attributes:
        directory: An empty directory in the store, for the trial.
        mnt: Mount point of the store.
    """

    directory: Path
    mnt: Path


def try_backend(job: TrialJob, _report: Report) -> str:
    """Try out the file system of a store.

    Returns:
        Why the backend ``overlay`` does not work there; empty if it works.

    Raises:
        StoreError: No backend works there; the error says what the file system does not keep.
        HostError: The kernel is too old.
    """
    store = job.mnt.parent
    place = make_place(job.mnt)
    if os.statvfs(job.directory).f_flag & os.ST_NOEXEC:
        raise StoreError(f"the file system of {store} is mounted noexec", remedy=ELSEWHERE)
    if lost := tuple(_lost(job.directory)):
        raise StoreError(f"the file system of {store} does not keep {_all(lost)}", remedy=ELSEWHERE)
    _try_bind(job.directory, place.tree)
    return try_overlay(job.directory, place)


def _try_bind(directory: Path, target: Path) -> None:
    bind(directory, target)
    try:
        make_harmless(target)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        raise HostError(
            f"Linux {platform.release()} is too old: it has no mount_setattr(2)",
            remedy="Use a host with Linux 5.12 or newer.",
        ) from error
    finally:
        unmount(target)


def _lost(directory: Path) -> Iterator[str]:
    """Yield what the file system does not keep, with the reason if it gives one."""
    for number, (what, keeps) in enumerate(_TRIALS):
        own = directory / f"trial-{number}"
        own.mkdir()
        try:
            if not keeps(own):
                yield what
        except OSError as error:
            yield f"{what} ({error.strerror})"


def _all(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _owners(directory: Path) -> bool:
    file = directory / "file"
    file.touch()
    os.chown(file, _OWNER, _OWNER + 1)
    status = file.stat()
    return (status.st_uid, status.st_gid) == (_OWNER, _OWNER + 1)


def _modes(directory: Path) -> bool:
    file = directory / "file"
    file.touch()
    for path, mode in ((file, 0o4711), (directory, 0o3750)):
        path.chmod(mode)
        if stat.S_IMODE(path.stat().st_mode) != mode:
            return False
    return True


def _times(directory: Path) -> bool:
    os.utime(directory, ns=(_TIME, _TIME))
    return directory.stat().st_mtime_ns == _TIME


def _capabilities(directory: Path) -> bool:
    file = directory / "file"
    file.touch()
    os.setxattr(file, "security.capability", _CAPABILITY)
    return os.getxattr(file, "security.capability") == _CAPABILITY


def _devices(directory: Path) -> bool:
    node = directory / "null"
    make_device(node, stat.S_IFCHR | 0o666, 1, 3)
    found = read_device(node, node.lstat())
    return found is not None and (found.kind, found.major, found.minor) == ("c", 1, 3)


def _pipes(directory: Path) -> bool:
    os.mkfifo(directory / "pipe")
    return stat.S_ISFIFO((directory / "pipe").lstat().st_mode)


def _hard_links(directory: Path) -> bool:
    one, two = directory / "one", directory / "two"
    one.touch()
    os.link(one, two)
    return one.stat().st_nlink == 2 and one.stat().st_ino == two.stat().st_ino


def _symbolic_links(directory: Path) -> bool:
    link = directory / "link"
    link.symlink_to("no such file")
    os.chown(link, _OWNER, _OWNER, follow_symlinks=False)
    return link.is_symlink() and link.lstat().st_uid == _OWNER


def _names(directory: Path) -> bool:
    names = {b"name", b"NAME", b"\xff\xfe", b"a:b\\c|d ", b"n" * 250}  # fuse-overlayfs has no 255
    top = os.fsencode(directory)
    for name in names:
        os.close(os.open(top + b"/" + name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    return {*os.listdir(top)} == names  # noqa: PTH208 - bytes


_TRIALS: tuple[tuple[str, Callable[[Path], bool]], ...] = (
    ("the owners of files", _owners),
    ("permissions", _modes),
    ("times to the nanosecond", _times),
    ("file capabilities", _capabilities),
    ("device nodes, or extended attributes in place of them", _devices),
    ("named pipes", _pipes),
    ("hard links", _hard_links),
    ("symbolic links", _symbolic_links),
    ("all names of files", _names),
)
