"""Read the entries of tar archives, including those that only GNU tar writes.

:mod:`tarfile` knows neither labels and volumes nor the directories of incremental archives, whose
headers have times where other formats have the beginning of the name.

Source of the format: "Basic Tar Format" in the manual of GNU tar.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import Any

_LABEL = b"V"
_DUMPED = b"D"
_OF_SOLARIS = (b"A", b"E", b"I")  # access lists, attributes, inodes of the next entry
_CONTINUED, _OLD_NAMES = b"M", b"N"
_GNU_MAGIC = b"ustar  \0"


class OtherArchiveError(tarfile.TarError):
    """The archive is of a kind that cannot be read alone, or of one that was given up."""


class TarEntry(tarfile.TarInfo):
    """An entry whose name is right in archives of GNU tar, too; for ``tarinfo=`` of tarfile."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> TarEntry:
        """Read a header."""
        return super().frombuf(buf, encoding, errors)._with_own_name(buf, encoding, errors)

    @classmethod
    def _frombuf(cls, buf: bytes, encoding: str, errors: str, **options: Any) -> TarEntry:
        """Read a header; Python calls this instead since 3.13.4, and where that was backported."""
        entry: TarEntry = super()._frombuf(buf, encoding, errors, **options)  # type: ignore[misc]
        return entry._with_own_name(buf, encoding, errors)

    def _with_own_name(self, buf: bytes | bytearray, encoding: str, errors: str) -> TarEntry:
        if buf[257:265] == _GNU_MAGIC:
            self.name = bytes(buf[:100]).split(b"\0")[0].decode(encoding, errors)
        return self


def tar_entries(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the entries of an archive that stand for files, and forget each afterwards.

    Args:
        archive: An archive that was opened with ``tarinfo=TarEntry``.

    Raises:
        OtherArchiveError: The archive is a later one of several volumes, or its long names are in
            an old form.
        tarfile.TarError: The archive is damaged.
    """
    while (entry := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # otherwise it keeps them all
        if entry.type == _CONTINUED or "GNU.volume.offset" in entry.pax_headers:
            raise OtherArchiveError(f"it continues {entry.name} from another volume")
        if entry.type == _OLD_NAMES:
            raise OtherArchiveError("its long names are in a form that GNU tar gave up in 1990")
        if entry.type == _DUMPED:
            entry.type = tarfile.DIRTYPE
        elif entry.type not in tarfile.SUPPORTED_TYPES:
            if entry.type == _LABEL or entry.type in _OF_SOLARIS:
                continue
            entry.type = tarfile.REGTYPE  # as POSIX requires for unknown types
        yield entry
