"""Read the entries of tar archives, including those that only GNU tar writes, and all of them.

:mod:`tarfile` knows neither labels and volumes nor the directories of incremental archives, whose
headers have times where other formats have the beginning of the name. It also takes a damaged
header, or the end of the file, for the end of the archive. Here, only the end marker is the end:
a zero block, with nothing but zero blocks or what is no archive after it. What is behind the marker
is read, too, so that a compressed stream is read up to its checksum.

Source of the format: "Basic Tar Format" in the manual of GNU tar.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

_LABEL = b"V"
_DUMPED = b"D"
_OF_SOLARIS = (b"A", b"E", b"I")  # access lists, attributes, inodes of the next entry
_CONTINUED, _OLD_NAMES = b"M", b"N"
_GNU_MAGIC = b"ustar  \0"
_BLOCK = 512
_PIECE = 256 << 10
_TEXTS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
_MOST_TEXT = 16 << 20
"""Size of the headers of an entry that carry names and attributes; they are read into memory."""

_BROKEN = (
    *(ArithmeticError, LookupError, RecursionError, ValueError),
    tarfile.HeaderError,
)
"""What :mod:`tarfile` raises for headers that make no sense."""


class OtherArchiveError(tarfile.TarError):
    """The archive is of a kind that cannot be read alone, or of one that was given up."""


class TarEntry(tarfile.TarInfo):
    """An entry for ``tarinfo=`` of tarfile: its name is right, and no damage is taken for the end.

    :func:`opened_tar` opens archives with it.
    """

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> TarEntry:
        """Read the next header, and what belongs to it.

        Raises:
            tarfile.ReadError: There is no header where one has to be.
        """
        at = archive.offset
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # not in typeshed
            raise
        except (
            tarfile.EmptyHeaderError,  # type: ignore[attr-defined]
            tarfile.TruncatedHeaderError,  # type: ignore[attr-defined]
        ) as error:
            if at == 0:
                raise
            raise tarfile.ReadError(f"it ends early: byte {at} has no end marker") from error
        except _BROKEN as error:
            if at == 0 and isinstance(error, tarfile.HeaderError):
                raise
            raise tarfile.ReadError(f"the header at byte {at} is damaged: {error}") from error

    def _proc_member(self, archive: tarfile.TarFile) -> TarEntry:
        if self.size < 0 or (self.type in _TEXTS and self.size > _MOST_TEXT):
            raise tarfile.ReadError(f"the header at byte {self.offset} has an impossible size")
        entry: TarEntry = super()._proc_member(archive)  # type: ignore[misc]
        return entry

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


@contextmanager
def opened_tar(stream: IO[bytes]) -> Iterator[tarfile.TarFile]:
    """Open a plain archive for :func:`tar_entries`.

    Args:
        stream: The archive; it is read once, from the beginning to its end.

    Raises:
        tarfile.TarError: It is not a tar archive.
    """
    with tarfile.open(
        fileobj=stream, mode="r|", bufsize=_PIECE, tarinfo=TarEntry, errors="surrogateescape"
    ) as archive:
        yield archive


def tar_entries(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the entries of an archive that stand for files, and forget each afterwards.

    Args:
        archive: An archive that was opened with ``tarinfo=TarEntry``, as :func:`opened_tar` does.

    Raises:
        OtherArchiveError: The archive is a later one of several volumes, or its long names are in
            an old form.
        tarfile.TarError: The archive is damaged.
    """
    before = -1
    while (entry := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # otherwise it keeps them all
        if entry.size < 0 or archive.offset <= before:
            raise tarfile.ReadError(f"the header of {entry.name} has an impossible size")
        before = archive.offset
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
    _read_to_end(archive)


def _read_to_end(archive: tarfile.TarFile) -> None:
    """Read what follows the first block of the end marker.

    Raises:
        tarfile.ReadError: More entries follow.
    """
    stream: IO[bytes] = archive.fileobj  # type: ignore[assignment]  # open for reading
    if stream.read(_BLOCK).strip(b"\0"):
        raise tarfile.ReadError("a block of zeros is in the middle of it")
    is_searched = False
    while piece := stream.read(_PIECE):
        if is_searched or not (rest := piece.lstrip(b"\0")):
            continue
        is_searched = True
        start = (len(piece) - len(rest)) // _BLOCK * _BLOCK
        if _is_header(piece[start : start + _BLOCK]):
            raise tarfile.ReadError("another archive follows its end marker")


def _is_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True
