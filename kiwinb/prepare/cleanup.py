"""Make the tree ready for delivery."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from kiwinb.clock import check_clock
from kiwinb.prepare.host_keys import ensure_host_keys
from kiwinb.steps.step import Output, StepContext


@dataclass(frozen=True)
class CleanUp:
    """Give the tree its times, and machines their own SSH host keys.

    Nothing is removed: each step removes what its programs leave behind, and all else belongs to
    the image; see :mod:`kiwinb.packages.traces`. All directories, and files that are newer than
    ``epoch``, get ``epoch`` as their time, so that equal inputs give equal trees.

    Attributes:
        epoch: Time of the build, in seconds since 1970-01-01 UTC.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 3

    epoch: int

    def run(self, context: StepContext) -> None:
        """Make the tree ready.

        Raises:
            HostError: The clock was set back behind ``epoch``, so times of files are wrong.
        """
        check_clock(self.epoch, "what the tree consists of")
        ensure_host_keys(context.root, context.log)
        for name in _all_stamped(context.root, self.epoch):
            with suppress(OSError):
                os.utime(name, (self.epoch, self.epoch), follow_symlinks=False)


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
