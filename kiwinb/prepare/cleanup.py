"""Remove caches, logs, keys and other traces of the build from the tree."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from kiwinb.packages import MANAGERS
from kiwinb.sandbox.paths import resolve_in
from kiwinb.steps.registry import Used
from kiwinb.steps.step import Output, StepContext

_EMPTIED = ("tmp", "run", "var/tmp")
_REMOVED = (
    "etc/.pwd.lock",
    "etc/passwd-",
    "etc/group-",
    "etc/shadow-",
    "etc/gshadow-",
    "etc/ssh/ssh_host_*",
    "root/.bash_history",
    "var/cache/ldconfig/aux-cache",
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "var/log/*.log",
)


@dataclass(frozen=True)
class CleanUp:
    """Clean up the tree for delivery.

    This also removes sshd's host keys and the machine ID, because each machine that starts the
    image needs its own. All directories, and files that are newer than ``epoch``, get ``epoch`` as
    their time, so that equal inputs give equal trees.

    Attributes:
        manager: The package manager.
        epoch: Time of the build, in seconds since 1970-01-01 UTC.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 2

    manager: Used
    epoch: int

    def run(self, context: StepContext) -> None:
        """Clean up."""
        root = context.root
        MANAGERS.get_used(self.manager).clean(context)
        for name in _EMPTIED:
            directory = resolve_in(root, name)
            for path in directory.iterdir() if directory.is_dir() else ():
                _remove(path)
        for pattern in _REMOVED:
            parent = resolve_in(root, str(Path(pattern).parent))
            for path in parent.glob(Path(pattern).name):
                _remove(path)
        machine_id = resolve_in(root, "etc/machine-id")
        if machine_id.exists():
            machine_id.write_bytes(b"")
        for name in _all_stamped(root, self.epoch):
            with suppress(OSError):
                os.utime(name, (self.epoch, self.epoch), follow_symlinks=False)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _all_stamped(root: Path, epoch: int) -> Iterator[str]:
    """Yield all paths newer than a time, and all directories, each after its content.

    A tree has so many files that creating a :class:`Path` for each would be slow.
    """
    directories = [os.fspath(root)]
    for directory in directories:  # the loop appends to it
        with suppress(OSError), os.scandir(directory) as found:
            for entry in list(found):
                if entry.is_dir(follow_symlinks=False):
                    directories.append(entry.path)
                elif _is_newer(entry, epoch):
                    yield entry.path
    yield from reversed(directories)


def _is_newer(entry: os.DirEntry[str], epoch: int) -> bool:
    try:
        return entry.stat(follow_symlinks=False).st_mtime > epoch
    except OSError:
        return False
