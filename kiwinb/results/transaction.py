"""Put files into a directory: either all of them or none, and only complete ones."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from kiwinb.checkpoints.space import SpaceWatch, target_place
from kiwinb.checkpoints.treescan import sha256
from kiwinb.errors import CommandError, CrashError, HostError
from kiwinb.files import sync
from kiwinb.sandbox.holes import copy_file


class FileTransaction:
    """A transaction: its files appear together if the context ends without an error.

    While it is open, no other process can place files there. When it has ended, the disk has the
    files. If the power fails or the process is killed while it ends, some files may be new and
    some old, but each of them is whole, and no record lists a file that is not what it says.

    Args:
        directory: The directory; it is created if necessary.
        record: Name of the file that lists the others. It is placed last. If a file that is there
            already gets another content, the record is removed before.

    Raises:
        HostError: The directory cannot be written to.
        SpaceError: The disk is full.
    """

    def __init__(self, directory: Path, record: str = "") -> None:
        self.directory = directory
        self._record = directory / record
        self._staged: list[tuple[Path, Path]] = []

    def __enter__(self) -> FileTransaction:
        with _explained(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                with _explained(self.directory):
                    self._place()
        finally:
            for part, _final in self._staged:
                part.unlink(missing_ok=True)
            os.close(self._lock)

    def _place(self) -> None:
        for part, _final in self._staged:
            sync(part)
        others = [(part, final) for part, final in self._staged if final != self._record]
        if len(others) < len(self._staged) and any(final.exists() for _part, final in others):
            self._record.unlink(missing_ok=True)
        for part, final in sorted(self._staged, key=lambda item: item[1] == self._record):
            part.replace(final)
        if self._staged:
            sync(self.directory)

    def stage(self, name: str) -> Path:
        """The path to write a file of this name to."""
        part = self.directory / f".{name}.part"
        part.unlink(missing_ok=True)  # of a process that was killed
        self._staged.append((part, self.directory / name))
        return part

    def drop(self, name: str) -> None:
        """Give up a staged file."""
        for part, final in self._staged:
            if final.name == name:
                part.unlink(missing_ok=True)
        self._staged = [item for item in self._staged if item[1].name != name]

    def add_text(self, name: str, text: str) -> None:
        """Place a text file."""
        with _explained(self.directory):
            self.stage(name).write_text(text, encoding="utf-8")

    def add_copy(self, name: str, source: Path) -> Path:
        """Place a copy of a file; shares blocks if the file system supports this, and keeps holes.

        Returns:
            The current path of the copy; renaming changes neither its inode nor its times.
        """
        with _explained(self.directory):
            part = self.stage(name)
            copy_file(source, part)
            return part

    def add_made(self, name: str, make: Callable[[Path], object]) -> Path:
        """Place a file that a function writes to the path that it gets."""
        with _explained(self.directory):
            part = self.stage(name)
            make(part)
            return part


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return sha256(os.fsencode(path), path.stat())


@contextmanager
def _explained(directory: Path) -> Iterator[None]:
    try:
        yield
    except (CommandError, CrashError) as error:
        if full := SpaceWatch((target_place(directory),)).explain(error):
            raise full from error
        raise
    except OSError as error:
        if full := SpaceWatch((target_place(directory),)).explain(error):
            raise full from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = "Name a directory that you may write to."
        else:
            remedy = "Name another directory."
        raise HostError(
            f"cannot write to the directory {directory}: {error.strerror}", remedy=remedy
        ) from error
