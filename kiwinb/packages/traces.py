"""Remove the files that programs leave behind in a tree, and nothing that they found there.

An image must not have files that differ between builds, nor secrets that each machine has to make
for itself. But the same files can belong to the image: an overlay may bring the host keys of a
server. So kiwinb removes only what a step itself has made or changed.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kiwinb.sandbox.paths import resolve_in

BY_PRODUCTS = (
    "etc/.pwd.lock",
    "etc/passwd-",
    "etc/group-",
    "etc/shadow-",
    "etc/gshadow-",
    "etc/subuid-",
    "etc/subgid-",
    "var/cache/ldconfig/aux-cache",
)
"""Locks, backups and caches that tools of any distribution leave behind."""

_State = tuple[int, int, int]


@dataclass(frozen=True)
class Traces:
    """The files of a tree that match patterns, at one time.

    Attributes:
        root: The root tree.
        patterns: Paths in the tree; the last part may have the wildcards of :mod:`glob`.
        before: State of each file.
    """

    root: Path
    patterns: tuple[str, ...]
    before: Mapping[Path, _State]

    @staticmethod
    def look(root: Path, patterns: Sequence[str]) -> Traces:
        """Note which files match."""
        found = {path: _state(path) for path in _matching(root, patterns)}
        return Traces(root, tuple(patterns), found)

    def new(self) -> tuple[Path, ...]:
        """Return the matching files that are new or have changed since, sorted."""
        now = _matching(self.root, self.patterns)
        return tuple(path for path in now if self.before.get(path) != _state(path))

    def remove_new(self) -> None:
        """Remove these files, and directories with all that is in them."""
        for path in self.new():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)  # patterns may meet through a link


@contextmanager
def without_traces(root: Path, patterns: Sequence[str]) -> Iterator[None]:
    """Remove matching files that are made or changed until the end.

    Args:
        root: The root tree.
        patterns: As for :class:`Traces`.
    """
    traces = Traces.look(root, patterns)
    yield
    traces.remove_new()


def _matching(root: Path, patterns: Sequence[str]) -> list[Path]:
    found: set[Path] = set()
    for pattern in patterns:
        parent, _, name = pattern.rpartition("/")
        directory = resolve_in(root, parent)
        if any(mark in name for mark in "*?["):
            found.update(directory.glob(name) if directory.is_dir() else ())
        elif (path := directory / name).is_symlink() or path.exists():
            found.add(path)
    return sorted(found)


def _state(path: Path) -> _State:
    about = path.lstat()
    if stat.S_ISDIR(about.st_mode):
        return about.st_mode, 0, 0
    return about.st_mode, about.st_size, about.st_mtime_ns
