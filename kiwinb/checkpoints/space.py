"""Full file systems: one error, which names the directory and the remedy."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kiwinb.errors import (
    CommandError,
    CrashError,
    KiwinbError,
    PackageError,
    RepositoryError,
    SpaceError,
)
from kiwinb.sizes import binary

_TEXTS = (
    "No space left on device",
    "Disk quota exceeded",
    "database or disk is full",
    "No usable temporary directory",
    "You don't have enough free space in",  # apt, before it downloads
)
_OF_PACKAGES = (RepositoryError, PackageError)
"""Errors of tools that write to nothing but the places, and remove what they could not write whole.

So when such an error is looked at, its place is no longer full.
"""

_FULL_BYTES = 1 << 20
_SHORT_BYTES = 32 << 20
_SHORT_INODES = 64


@dataclass(frozen=True)
class Place:
    """A directory that a build writes to.

    Attributes:
        what: What it is, for messages.
        path: The directory; it need not exist yet.
        remedy: What to do when its file system is full.
    """

    what: str
    path: Path
    remedy: str


@dataclass(frozen=True)
class _Room:
    """How much space a place has."""

    place: Place
    bytes: int
    inodes: int
    is_used_up: bool
    """Not even root can write anything."""

    def order(self) -> tuple[bool, int]:
        """Sort key: the fullest place comes first."""
        return not self.is_short, min(self.bytes, self.inodes * 4096)

    def __str__(self) -> str:
        inodes = f" and {self.inodes} inodes" if self.inodes < _SHORT_INODES else ""
        return f"{self.place.what} {self.place.path} ({binary(self.bytes)}{inodes} free)"

    @property
    def is_full(self) -> bool:
        return self.bytes < _FULL_BYTES or self.inodes < _SHORT_INODES

    @property
    def is_short(self) -> bool:
        return self.bytes < _SHORT_BYTES or self.inodes < _SHORT_INODES


def store_place(path: Path) -> Place:
    """The checkpoint store."""
    return Place(
        "the checkpoint store",
        path,
        "Free space with `kiwinb checkpoints gc --limit SIZE`, or name another directory: "
        "the setting `store`, or KIWINB_STORE.",
    )


def target_place(path: Path) -> Place:
    """A directory that the user named for results."""
    return Place("the directory", path, "Free space there, or name another directory.")


def cache_place(path: Path) -> Place:
    """The download cache."""
    return Place(
        "the download cache",
        path,
        "Remove what is old in it, free space with `kiwinb checkpoints gc --limit SIZE` if "
        "the store is there too, or name another directory: the setting `cache`, or "
        "KIWINB_CACHE.",
    )


def build_places(store: Path, cache: Path) -> tuple[Place, ...]:
    """The places that steps write to: store, download cache and temporary directory."""
    return store_place(store), cache_place(cache), *_temporary()


def _temporary() -> tuple[Place, ...]:
    remedy = "Free space there, or name another directory: `--temp-dir`, or TMPDIR."
    named = os.environ.get("TMPDIR")
    try:
        path = named or tempfile.gettempdir()
    except FileNotFoundError:  # all of them are full
        path = "/tmp"
    return (Place("the temporary directory", Path(path), remedy),)


class SpaceWatch:
    """Finds out which place is full when something goes wrong.

    Args:
        places: The places.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places
        self._seen: tuple[_Room, ...] = ()

    def see(self, line: str) -> None:
        """Look at a line of output; if a tool says that a disk is full, measure the places now."""
        if any(text in line for text in _TEXTS):
            self._seen = _rooms(self._places)

    def explain(self, error: BaseException, *, needed: int | None = None) -> SpaceError | None:
        """The error to raise instead of one that says that a disk is full.

        Args:
            error: What was raised.
            needed: The approximate number of bytes that are needed, if known.

        Returns:
            ``None`` if the error is about something else.
        """
        about_space = _is_about_space(error)
        failed = isinstance(error, CommandError | CrashError)
        if isinstance(error, SpaceError) or not (about_space or failed):
            return None
        rooms = self._seen or _rooms(self._places)
        fullest = min(rooms, key=_Room.order)
        if not (about_space or fullest.is_used_up):  # some tools do not say why, or crash
            return None
        if (
            isinstance(error, KiwinbError)
            and not isinstance(error, _OF_PACKAGES)
            and not _system_error(error)
            and not fullest.is_short
        ):
            return None  # something else is full, for example a file system in a disk image
        blamed = _named(error, rooms) or (fullest if fullest.is_full or len(rooms) == 1 else None)
        if blamed is None:
            where = "one of: " + ", ".join(map(str, rooms))
            remedies = [room.place.remedy for room in rooms]
        else:
            where, remedies = str(blamed), [blamed.place.remedy]
        said = str(error).splitlines() or [""]
        tail = error.tail[-2:] if isinstance(error, CommandError) else ()
        cause = next((line for line in said if says_full(line)), "; ".join(tail) or said[0])
        cause = cause.strip(" |")
        return SpaceError(
            f"no space left on the file system of {where}"
            f"{'' if needed is None else f'; about {binary(needed)} are needed'}: {cause}",
            remedy="\n  ".join(remedies),
        )


@contextmanager
def explained_space(places: Sequence[Place], *, needed: int | None = None) -> Iterator[SpaceWatch]:
    """Raise :class:`SpaceError` instead of any error that says that one of the places is full."""
    watch = SpaceWatch(places)
    try:
        yield watch
    except Exception as error:
        if found := watch.explain(error, needed=needed):
            raise found from error
        raise


def _is_about_space(error: BaseException) -> bool:
    return _system_error(error) is not None or says_full(
        "\n".join((str(error), *getattr(error, "__notes__", ())))
    )


def says_full(said: str) -> bool:
    """Tell whether the output of a tool, or a message, says that a disk is full."""
    return any(text in said for text in _TEXTS)


def _system_error(error: BaseException | None) -> OSError | None:
    """The operating system error about a full disk that this error is, or was caused by."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return error
        error = error.__cause__
    return None


def _named(error: BaseException, rooms: Sequence[_Room]) -> _Room | None:
    """The place of the file that an operating system error, or a message, names."""
    found = _system_error(error)
    if found is None or not isinstance(found.filename, str | bytes):
        told = str(error) if isinstance(error, _OF_PACKAGES) else ""
        inside = [room for room in rooms if f"{room.place.path}/" in told]
    else:
        file = Path(os.fsdecode(found.filename))
        inside = [room for room in rooms if file.is_relative_to(room.place.path)]
    return max(inside, key=lambda room: len(room.place.path.parts), default=None)


_UNLIMITED = 1 << 60
"""What a file system has that tells nothing, for example one in memory without a limit."""


def _rooms(places: Sequence[Place]) -> tuple[_Room, ...]:
    found = []
    for place in places:
        there = place.path
        while not there.exists() and there != there.parent:
            there = there.parent
        with suppress(OSError):
            status = os.statvfs(there)
            inodes = status.f_favail if status.f_files else _UNLIMITED  # Btrfs counts none
            used_up = (status.f_blocks > 0 and not status.f_bfree) or (
                status.f_files > 0 and not status.f_ffree
            )
            free = status.f_bavail * status.f_frsize if status.f_blocks else _UNLIMITED
            found.append(_Room(place, free, inodes, used_up))
    return tuple(found)
