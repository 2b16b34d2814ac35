"""Digests of files and directories of the host, with a cache."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType

from kiwinb.description.xml import display
from kiwinb.errors import DescriptionError, Location
from kiwinb.sandbox.devices import read_device
from kiwinb.steps.keys import Digest, digest

SETTLED_NS = 2_000_000_000
"""If a file changed less than this time before it was read, the cache does not keep its digest.

The file may change again unnoticed, because a file system may give two changes the same time. git
does the same.
"""


class FingerprintCache:
    """A cache of SHA-256 digests of file contents, by path, inode, size and change times.

    Several processes may use one file at the same time. If the file cannot be used as a database,
    the digests are computed without a cache.

    Args:
        path: The database file; with ``None``, the cache lives only in the process.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._db: sqlite3.Connection | None = None
        with suppress(OSError, sqlite3.Error):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path or ":memory:", timeout=10)
            self._db.execute(
                "create table if not exists contents"
                " (path text primary key, stamp text not null, sha256 text not null)"
            )

    def __enter__(self) -> FingerprintCache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._db is not None:
            with suppress(sqlite3.Error), closing(self._db):
                self._db.commit()

    def sha256(self, path: Path) -> Digest:
        """SHA-256 of the content of a regular file.

        Raises:
            OSError: It cannot be read.
        """

        def make() -> Digest:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()

        return self.remembered(os.fsdecode(path.absolute()), path, make)

    def remembered(self, name: str, file: Path, make: Callable[[], str]) -> str:
        """Return a text that depends on a file, and compute it only if the file has changed.

        Args:
            name: Name of the text, unique among all callers.
            file: A regular file.
            make: Function that computes the text.

        Raises:
            OSError: The status of the file cannot be read.
        """
        stamp = _stamp(file.stat())
        if (known := self._recall(name, stamp)) is not None:
            return known
        began = time.time_ns()
        value = make()
        after = file.stat()
        settled = max(after.st_mtime_ns, after.st_ctime_ns) + SETTLED_NS < began
        if settled and _stamp(after) == stamp:
            self._remember(name, stamp, value)
        return value

    def _recall(self, name: str, stamp: str) -> Digest | None:
        if self._db is not None:
            with suppress(sqlite3.Error, UnicodeEncodeError):
                row = self._db.execute(
                    "select sha256 from contents where path = ? and stamp = ?", (name, stamp)
                ).fetchone()
                return row[0] if row and isinstance(row[0], str) else None
        return None

    def _remember(self, name: str, stamp: str, value: Digest) -> None:
        if self._db is not None:
            with suppress(sqlite3.Error, UnicodeEncodeError):
                self._db.execute("replace into contents values (?, ?, ?)", (name, stamp, value))


def _stamp(status: os.stat_result) -> str:
    fields = (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
    return ":".join(map(str, fields))


def fingerprint(
    path: Path, cache: FingerprintCache | None = None, *, owners: bool = False
) -> Digest:
    """Digest of a file, or of a directory and everything below it, without times.

    It covers names, types, modes, extended attributes, contents, symlink targets, device
    numbers and which names are hard links of one file. ``path`` itself may be a symlink.

    Args:
        path: The file or directory.
        cache: Caches digests of contents.
        owners: Cover owner and group.

    Raises:
        DescriptionError: Something cannot be read.
    """
    cache = cache or FingerprintCache()
    links: dict[tuple[int, int], str] = {}

    def entry(path: Path, name: str, *, follow: bool = False) -> list[object]:
        status = path.stat() if follow else path.lstat()
        kind = stat.S_IFMT(status.st_mode)
        facts: list[object] = [name.encode(errors="surrogateescape"), kind]
        if owners:
            facts += [status.st_uid, status.st_gid]
        if kind == stat.S_IFSOCK:
            raise _wrong(path, "it is a socket, which no image can have", "Remove it.")
        if kind == stat.S_IFLNK:
            return [*facts, os.fsencode(path.readlink())]
        facts += [stat.S_IMODE(status.st_mode), read_attributes(path)]
        if kind == stat.S_IFDIR:
            with os.scandir(path) as found:
                below = sorted((item.name for item in found), key=os.fsencode)
            return [*facts, [digest(entry(path / item, f"{name}/{item}")) for item in below]]
        if (device := read_device(path, status)) is not None:
            return [*facts, device.kind, device.major, device.minor]
        if kind == stat.S_IFREG:
            if status.st_nlink > 1:
                facts.append(links.setdefault((status.st_dev, status.st_ino), name).encode())
            facts.append(cache.sha256(path))
        return facts

    try:
        return digest(entry(path, "", follow=True))
    except OSError as error:
        raise _wrong(
            Path(os.fsdecode(error.filename or path)),
            f"cannot read it: {error.strerror}",
            "Check that you may read it, or remove it.",
        ) from error
    except RecursionError:
        raise _wrong(path, "its directories are nested too deeply", "Pack them with tar.") from None


def _wrong(path: Path, problem: str, remedy: str) -> DescriptionError:
    return DescriptionError(problem, remedy=remedy, location=Location(Path(display(path))))


def read_attributes(path: Path) -> dict[str, bytes]:
    """The extended attributes of a file by name, without those that depend on the host."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return {}
    return {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in sorted(names)
        if is_portable_attribute(name)
    }


def is_portable_attribute(name: str) -> bool:
    """Whether to copy an extended attribute into a root tree."""
    if name.startswith("user."):
        return not name.startswith(("user.overlay.", "user.kiwinb."))
    return name == "security.capability" or name.startswith("system.posix_acl_")
