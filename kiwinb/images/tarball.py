"""Write tar archives whose bytes depend on their content alone.

The format is POSIX pax: ``ustar`` headers, with an extended header before an entry that has
extended attributes or a value that does not fit in ``ustar``. Extended attributes are
``SCHILY.xattr.NAME`` with the raw value, as GNU tar, libarchive and container engines read them.
Owners are numbers without names. Times are whole seconds. Names are bytes in any encoding.

Files with holes can be sparse members, in version 1.0 of GNU tar's sparse format for pax archives.
GNU tar, libarchive, Go and Python read it, but BusyBox does not. The layers of containers have no
sparse members, as the OCI Image Format Specification ("File Attributes" of layers) advises.

Source of the format: the manual of GNU tar, "Storing Sparse Files".
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Protocol

from kiwinb.checkpoints.treescan import Entry
from kiwinb.errors import ImageError
from kiwinb.sandbox.holes import pieces
from kiwinb.sandbox.reach import Reach
from kiwinb.storage.filesystem.limits import EVERYTHING, Limits, refused
from kiwinb.storage.sparse import data_pieces, has_holes

CHUNK = 1 << 20
_BLOCK = 512
_RECORD = 20 * _BLOCK
_TYPES = {"file": b"0", "symlink": b"2", "char": b"3", "block": b"4", "directory": b"5"} | {
    "fifo": b"6"
}
_NAME_BYTES = 100
_LARGEST_OWNER = 0o7777777
_LARGEST_SIZE = 0o77777777777
_SPARSE = 1 << 20
"""Bytes of holes from which on a file becomes a sparse member."""

_SPARSE_DIRECTORY = b"GNUSparseFile.0/"
"""Directory that readers which do not know the format put sparse members into."""

_LONGEST_STAND_IN = _NAME_BYTES - len(_SPARSE_DIRECTORY)


TAR = Limits(
    "A tar archive",
    kinds=EVERYTHING - {"socket"},
    flags=False,
    remedy="Remove it from the root tree, or take another image type.",
)
"""Limits of a tar archive."""


class Sink(Protocol):
    """A destination for bytes."""

    def write(self, data: bytes, /) -> object:
        """Write all of the data."""
        ...


def counted(entries: Sequence[Entry], report: Callable[[float], None]) -> Callable[[int], None]:
    """Return a function that counts content bytes and reports progress.

    Args:
        entries: The entries whose content is to be written.
        report: Called with the fraction of their content bytes counted so far.
    """
    total = sum(entry.size for entry in entries if entry.link in (b"", entry.path))
    done = 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        report(done / total)

    return count


def read_pieces(file: IO[bytes], size: int, name: bytes) -> Iterator[bytes]:
    """Read the first bytes of a file in pieces; zeros stand for its holes, which are not read.

    Args:
        file: The file.
        size: Number of bytes to read.
        name: Name of the file in messages.

    Raises:
        ImageError: The file became shorter while it was read.
    """
    try:
        yield from pieces(file.fileno(), size)
    except EOFError:
        raise ImageError(f"{os.fsdecode(name)} became shorter while it was read") from None


class TarWriter:
    """Writer of one archive; :meth:`close` ends the archive, but does not close the stream.

    Args:
        stream: The stream to write the archive to.
        epoch: Latest time of a member, in seconds since 1970-01-01 UTC; later ones become this.
        progress: Called after each piece of content with its number of bytes.
        sparse: Whether files with at least 1 MiB of holes become sparse members.
    """

    def __init__(
        self,
        stream: Sink,
        epoch: int,
        progress: Callable[[int], None] = lambda count: None,
        *,
        sparse: bool = False,
    ) -> None:
        self._stream = stream
        self._epoch = epoch
        self._progress = progress
        self._sparse = sparse
        self._written = 0
        self._reach: tuple[Path, Reach] | None = None

    def add_tree(self, root: Path, entries: Iterable[Entry]) -> None:
        """Add entries of a tree.

        Raises:
            ImageError: A file became shorter while it was read.
        """
        for entry in entries:
            self.add_entry(root, entry)

    def add_entry(self, root: Path, entry: Entry) -> None:
        """Add an entry of a tree under its path in the tree; the root itself is ``./``.

        Raises:
            ImageError: The file became shorter while it was read.
        """
        source = self._source(root, entry)
        slash = b"/" if entry.kind == "directory" else b""
        header = partial(
            self._header,
            mode=entry.mode,
            uid=entry.uid,
            gid=entry.gid,
            mtime=os.lstat(source).st_mtime_ns // 10**9,
        )
        if entry.link not in (b"", entry.path):
            header(name=entry.path + slash, kind=b"1", target=entry.link)
            return
        header = partial(
            header,
            kind=_TYPES[entry.kind],
            target=entry.target,
            device=entry.device or (0, 0),
            xattrs=entry.xattrs,
        )
        if entry.kind == "file" and self._sparse and (runs := _runs(source, entry.size)):
            self._sparse_content(source, entry, runs, header)
            return
        header(name=entry.path + slash, size=entry.size)
        if entry.kind == "file":
            with open(source, "rb", buffering=0) as file:  # noqa: PTH123 - bytes
                self._content(file, entry.size, entry.path)

    def _source(self, root: Path, entry: Entry) -> bytes:
        if self._reach is None or self._reach[0] != root:
            self._reach = root, Reach(os.fsencode(root))
        return self._reach[1].path(entry.path)

    def add_file(self, name: str, content: Path | bytes) -> None:
        """Add a regular file that belongs to root and has the epoch as its time."""
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        self._header(name=os.fsencode(name), mode=0o644, mtime=self._epoch, size=size)
        if isinstance(content, bytes):
            self._write(content)
            self._pad(size)
        else:
            with content.open("rb", buffering=0) as file:
                self._content(file, size, os.fsencode(name))

    def add_directory(self, name: str) -> None:
        """Add a directory that belongs to root and has the epoch as its time."""
        self._header(name=os.fsencode(name) + b"/", mode=0o755, mtime=self._epoch, kind=b"5")

    def close(self) -> None:
        """Write the end of the archive."""
        self._write(bytes(2 * _BLOCK))
        self._write(bytes(-self._written % _RECORD))

    def _header(
        self,
        *,
        name: bytes,
        mode: int,
        mtime: int,
        uid: int = 0,
        gid: int = 0,
        size: int = 0,
        kind: bytes = b"0",
        target: bytes = b"",
        device: tuple[int, int] = (0, 0),
        xattrs: Sequence[tuple[str, bytes]] = (),
        more: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        numbers = {b"uid": uid, b"gid": gid, b"size": size}
        largest = {b"uid": _LARGEST_OWNER, b"gid": _LARGEST_OWNER, b"size": _LARGEST_SIZE}
        records = [
            (key, str(value).encode()) for key, value in numbers.items() if value > largest[key]
        ]
        for key, text in ((b"path", name), (b"linkpath", target)):
            if len(text) > _NAME_BYTES:
                records.append((key, text))
        records += more
        for attribute, value in xattrs:
            if "=" in attribute:
                problem = f"the name of its extended attribute {attribute} has the character ="
                raise refused(TAR, name, problem)
            records.append((b"SCHILY.xattr." + os.fsencode(attribute), value))
        mtime = min(mtime, self._epoch)
        if not 0 <= mtime <= _LARGEST_SIZE:
            records.append((b"mtime", b"%d" % mtime))
            mtime = max(0, min(mtime, _LARGEST_SIZE))
        if records:
            data = b"".join(_record(key, value) for key, value in sorted(records))
            self._write(_ustar(b"PaxHeader", 0o644, 0, 0, len(data), mtime, b"x"))
            self._write(data)
            self._pad(len(data))
        uid, gid, size = (value if value <= largest[key] else 0 for key, value in numbers.items())
        self._write(_ustar(name, mode, uid, gid, size, mtime, kind, target, device))

    def _content(self, file: IO[bytes], size: int, name: bytes) -> None:
        for data in read_pieces(file, size, name):
            self._write(data)
            self._progress(len(data))
        self._pad(size)

    def _sparse_content(
        self,
        source: bytes,
        entry: Entry,
        runs: Sequence[tuple[int, int]],
        header: Callable[..., None],
    ) -> None:
        """Write the header of a sparse file, the map of its data, and the data."""
        numbers = [len(runs), *(number for run in runs for number in run)]
        text = b"".join(b"%d\n" % number for number in numbers)
        text += bytes(-len(text) % _BLOCK)
        stored = sum(length for _start, length in runs)
        header(
            name=_SPARSE_DIRECTORY + posixpath.basename(entry.path)[:_LONGEST_STAND_IN],
            size=len(text) + stored,
            more=(
                (b"GNU.sparse.major", b"1"),
                (b"GNU.sparse.minor", b"0"),
                (b"GNU.sparse.name", entry.path),
                (b"GNU.sparse.realsize", b"%d" % entry.size),
            ),
        )
        self._write(text)
        written = 0
        for _offset, piece in data_pieces(source, entry.size):
            self._write(piece)
            self._progress(len(piece))
            written += len(piece)
        if written != stored:
            raise ImageError(f"{os.fsdecode(entry.path)} changed while it was read")
        self._pad(stored)
        self._progress(entry.size - stored)

    def _pad(self, size: int) -> None:
        self._write(bytes(-size % _BLOCK))

    def _write(self, data: bytes) -> None:
        self._stream.write(data)
        self._written += len(data)


def _runs(path: bytes, size: int) -> Sequence[tuple[int, int]]:
    """Return the runs of data of a file, as (offset, length); empty if it has few or no holes."""
    status = os.lstat(path)
    if not has_holes(status) or size - status.st_blocks * 512 < _SPARSE:
        return ()
    runs: list[tuple[int, int]] = []
    for offset, piece in data_pieces(path, size):
        if runs and sum(runs[-1]) == offset:
            offset, length = runs.pop()
            runs.append((offset, length + len(piece)))
        else:
            runs.append((offset, len(piece)))
    if not runs or sum(runs[-1]) < size:
        runs.append((size, 0))  # as GNU tar marks a hole at the end
    return runs


def _record(key: bytes, value: bytes) -> bytes:
    """Format a pax record; its length includes the digits of the length itself."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + len(str(len(rest)))
    length = len(rest) + len(str(length))
    return str(length).encode() + rest


def _ustar(
    name: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime: int,
    kind: bytes,
    target: bytes = b"",
    device: tuple[int, int] = (0, 0),
) -> bytes:
    head = b"".join(
        (
            name[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0"),
            *(b"%07o\0" % value for value in (mode, uid, gid)),
            *(b"%011o\0" % value for value in (size, mtime)),
        )
    )
    tail = b"".join(
        (
            kind,
            target[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0"),
            b"ustar\x0000",
            bytes(64),
            *(b"%07o\0" % value for value in device),
        )
    ).ljust(_BLOCK - len(head) - 8, b"\0")
    checksum = sum(head) + sum(tail) + 8 * ord(" ")
    return head + b"%06o\0 " % checksum + tail
