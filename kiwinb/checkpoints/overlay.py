"""Keep trees as layers: each checkpoint holds only what its step changed.

A result must not depend on the backend, so this module makes up for the differences between
overlayfs and other file systems:

* overlayfs breaks hard links when it copies a file up. So before a step runs, this module copies
  up all hard links of the tree together. Afterwards, it removes those groups of links that the step
  did not touch from the new layer.
* The root directory of a new layer hides the root directories of the layers below. So this module
  gives it their owner, mode, times and attributes.

One difference remains: rename(2) of a directory in a lower layer fails with ``EXDEV``, as it does
between two file systems. Programs such as mv then copy the directory.
"""

from __future__ import annotations

import errno
import gc
import os
import shutil
import stat
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kiwinb.checkpoints.backend import Place
from kiwinb.checkpoints.manifest import linked_paths
from kiwinb.checkpoints.treescan import scan
from kiwinb.sandbox.mounts import bind, make_harmless, mount, unmount, unmount_now

PRIVATE = ("trusted.overlay.", "user.overlay.")
"""Prefixes of the names of extended attributes that overlayfs sets for its own use."""

_CLOCK_OF_FILES = 5  # CLOCK_REALTIME_COARSE: what the kernel's timer last said, see time(7)
_PART_OF_A_TICK = 0.0005


class Overlay:
    """The backend ``overlay``."""

    stacked = True

    @contextmanager
    def work(self, layers: Sequence[Path], draft: Path, place: Place) -> Iterator[Path]:
        """See :class:`~kiwinb.checkpoints.backend.Backend`."""
        upper = draft / "data"
        with _mounted(layers, upper, draft / "work", place) as tree:
            groups = _copy_up_hard_links(tree, layers, upper)
            yield tree
        _drop_untouched(groups, upper)
        if layers:
            shutil.rmtree(draft / "work")

    @contextmanager
    def scratch(self, layers: Sequence[Path], draft: Path, place: Place) -> Iterator[Path]:
        """See :class:`~kiwinb.checkpoints.backend.Backend`."""
        with _mounted(layers, draft / "scratch", draft / "work", place) as tree:
            yield tree

    @contextmanager
    def view(self, layers: Sequence[Path], place: Place) -> Iterator[Path]:
        """See :class:`~kiwinb.checkpoints.backend.Backend`."""
        if len(layers) == 1:
            bind(layers[0], place.tree, readonly=True)
        else:
            _mount_overlay(place, f"lowerdir={_lower(layers, place)}")
        try:
            make_harmless(place.tree, nosuid=True)
            yield place.tree
        finally:
            unmount(place.tree)


@contextmanager
def _mounted(layers: Sequence[Path], upper: Path, work: Path, place: Place) -> Iterator[Path]:
    upper.mkdir(0o755)
    if layers:
        work.mkdir()
        copy_attributes(layers[-1], upper)
        for name, target in (("upper", upper), ("work", work)):
            (place.layers / name).symlink_to(target)
        lower = _lower(layers, place)
        _mount_overlay(place, f"lowerdir={lower},upperdir=upper,workdir=work,volatile")
    else:
        bind(upper, place.tree)
    try:
        make_harmless(place.tree)
        yield place.tree
    except BaseException:
        unmount(place.tree)
        raise
    _unmount_quietly(place.tree)


def _lower(layers: Sequence[Path], place: Place) -> str:
    """Return the value for ``lowerdir``: short relative names of the layers, the newest first."""
    for number, layer in enumerate(layers):
        (place.layers / str(number)).symlink_to(layer)
    return ":".join(str(number) for number in reversed(range(len(layers))))


def _mount_overlay(place: Place, options: str) -> None:
    options += ",index=off"
    options += ",userxattr" if _in_user_namespace() else ",redirect_dir=nofollow,metacopy=off"
    before = os.open(".", os.O_PATH | os.O_CLOEXEC)
    os.chdir(place.layers)
    try:
        mount("overlay", place.tree, "overlay", options=options)
    finally:
        os.fchdir(before)
        os.close(before)


def _in_user_namespace() -> bool:
    return Path("/proc/self/uid_map").read_text().split() != ["0", "0", str(2**32 - 1)]


def _unmount_quietly(tree: Path) -> None:
    for _attempt in range(50):
        try:
            unmount_now(tree)
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            gc.collect()  # a file object that nobody refers to any more
            time.sleep(0.02)
    unmount(tree)


def copy_attributes(source: Path, destination: Path) -> None:
    """Give a directory the owner, mode, extended attributes and times of another one."""
    status = source.stat()
    os.chown(destination, status.st_uid, status.st_gid)
    destination.chmod(stat.S_IMODE(status.st_mode))
    for name in attributes(destination):
        os.removexattr(destination, name)
    for name, value in attributes(source).items():
        os.setxattr(destination, name, value)
    os.utime(destination, ns=(status.st_atime_ns, status.st_mtime_ns))


def attributes(directory: Path | bytes) -> dict[str, bytes]:
    """Return the extended attributes of a directory, without those of overlayfs itself."""
    names = [name for name in os.listxattr(directory) if not name.startswith(PRIVATE)]
    return {name: os.getxattr(directory, name) for name in names}


@dataclass(frozen=True)
class _Group:
    """The hard links to one file in the upper layer, before the step.

    Attributes:
        paths: Paths of the links, relative to the root of the tree.
        inode: Inode number of the file in the upper layer.
        changed: Change time of the file there, in nanoseconds since 1970-01-01 UTC.
    """

    paths: tuple[str, ...]
    inode: int
    changed: int


def _copy_up_hard_links(tree: Path, layers: Sequence[Path], upper: Path) -> tuple[_Group, ...]:
    by_inode: dict[tuple[int, int], list[str]] = {}
    for path, status in _linked_files(tree, layers):
        by_inode.setdefault((status.st_dev, status.st_ino), []).append(path)
    groups = []
    for names in by_inode.values():
        paths = sorted(names)
        first = tree / paths[0]
        status = first.lstat()
        times = (status.st_atime_ns, status.st_mtime_ns)
        os.utime(first, ns=times, follow_symlinks=False)  # changes nothing, and copies up
        for path in paths[1:]:
            with _times_kept([(tree / path).parent]):
                spare = (tree / path).with_name(".kiwinb-link")
                os.link(first, spare, follow_symlinks=False)
                spare.rename(tree / path)
        copied = (upper / paths[0]).lstat()
        groups.append(_Group(tuple(paths), copied.st_ino, copied.st_ctime_ns))
    if groups:
        _await_tick()
    return tuple(groups)


def _await_tick() -> None:
    """Wait until the clock of file times ticks, so that a later change gets another time."""
    before = time.clock_gettime_ns(_CLOCK_OF_FILES)
    while time.clock_gettime_ns(_CLOCK_OF_FILES) == before:
        time.sleep(_PART_OF_A_TICK)


def _linked_files(tree: Path, layers: Sequence[Path]) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the files of the layers that have several names and are still in the tree."""

    @cache
    def is_directory(path: Path) -> bool:
        return path == tree or (
            is_directory(path.parent) and path.exists() and stat.S_ISDIR(path.lstat().st_mode)
        )

    for name in sorted({name for layer in layers for name in _linked_in(layer)}):
        path = tree / name
        if is_directory(path.parent):  # no symbolic link leads elsewhere
            with suppress(FileNotFoundError):
                status = path.lstat()
                if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                    yield name, status


def _linked_in(layer: Path) -> Iterable[str]:
    """Return the files of a layer that have several names, from its manifest or by a scan."""
    try:
        return linked_paths(layer.parent)
    except (OSError, zlib.error, ValueError):
        entries = scan(layer, contents=False)
        return [os.fsdecode(entry.path) for entry in entries if entry.link]


def _drop_untouched(groups: Iterable[_Group], upper: Path) -> None:
    for group in groups:
        if all(_is_untouched(upper / path, group) for path in group.paths):
            with _times_kept({(upper / path).parent for path in group.paths}):
                for path in group.paths:
                    (upper / path).unlink()


def _is_untouched(path: Path, group: _Group) -> bool:
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return (status.st_ino, status.st_ctime_ns) == (group.inode, group.changed)


@contextmanager
def _times_kept(directories: Iterable[Path]) -> Iterator[None]:
    before = [(directory, directory.stat()) for directory in directories]
    yield
    for directory, status in before:
        os.utime(directory, ns=(status.st_atime_ns, status.st_mtime_ns))


def try_overlay(draft: Path, place: Place) -> str:
    """Find out whether overlayfs works in this worker, on the file system of a draft.

    Args:
        draft: An empty directory for the trial.
        place: Where this worker shows trees.

    Returns:
        Why overlayfs does not work; empty if it works.
    """
    overlay = Overlay()
    below = draft / "below"
    (below / "directory").mkdir(parents=True)
    (below / "directory" / "file").write_text("below")
    (below / "one").write_text("linked")
    os.link(below / "one", below / "two")
    os.chown(below / "one", 1, 1)
    try:
        with overlay.work([below], draft, place) as tree:
            shutil.rmtree(tree / "directory")
            (tree / "directory").mkdir()
            (tree / "two").write_text("changed")
        for name in ("0", "upper", "work"):
            (place.layers / name).unlink()
        with overlay.view([below, draft / "data"], place) as tree:
            if (tree / "directory" / "file").exists():
                return "a directory that was removed is not opaque"
            if (tree / "one").read_text() != "changed" or (tree / "one").stat().st_uid != 1:
                return "hard links are not kept"
    except OSError as error:
        return str(error)
    finally:
        with suppress(OSError):
            unmount(place.tree)
    return ""
