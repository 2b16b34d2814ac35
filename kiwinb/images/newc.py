"""Write cpio archives in the ``newc`` format, which the Linux kernel reads as an initramfs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from kiwinb.checkpoints.treescan import Entry
from kiwinb.errors import ImageError
from kiwinb.images.tarball import Sink, read_pieces
from kiwinb.sandbox.reach import Reach
from kiwinb.storage.filesystem.content import TYPES

_BLOCK = 512
_LARGEST = 0xFFFFFFFF


def write_cpio(
    stream: Sink,
    root: Path,
    entries: Sequence[Entry],
    epoch: int,
    progress: Callable[[int], None] = lambda count: None,
) -> None:
    """Write a tree as a ``newc`` archive, with inode numbers in the order of its entries.

    The format cannot hold extended attributes or holes: zeros stand for holes. Hard links between
    symbolic links become separate symbolic links. Of other hard links, the last one carries the
    content, as with GNU cpio.

    Args:
        stream: The stream to write the archive to.
        root: The tree.
        entries: The entries of the tree to write, in order.
        epoch: Latest time of an entry, in seconds since 1970-01-01 UTC; later ones become this.
        progress: Called after each piece of content with its number of bytes.

    Raises:
        ImageError: A file is 4 GiB or larger, or became shorter while it was read.
    """
    archive, reach = _Writer(stream), Reach(os.fsencode(root))
    entries = [replace(item, link=b"") if item.kind == "symlink" else item for item in entries]
    links = Counter(entry.link for entry in entries if entry.link)
    left = Counter(links)
    inodes: dict[bytes, int] = {}
    for number, entry in enumerate(entries, 1):
        source = reach.path(entry.path)
        left[entry.link] -= 1
        size = entry.size if not entry.link or not left[entry.link] else 0
        _check_size(entry.path, size)
        archive.put(
            _header(
                entry.path,
                inode=inodes.setdefault(entry.link or entry.path, number),
                mode=TYPES[entry.kind] | entry.mode,
                uid=entry.uid,
                gid=entry.gid,
                links=links[entry.link] if entry.link else 1,
                mtime=max(0, min(os.lstat(source).st_mtime_ns // 10**9, epoch)),
                size=len(entry.target) if entry.kind == "symlink" else size,
                device=entry.device or (0, 0),
            )
        )
        if entry.kind == "symlink":
            archive.put(entry.target)
        elif size:
            with open(source, "rb", buffering=0) as file:  # noqa: PTH123 - bytes
                for piece in read_pieces(file, size, entry.path):
                    archive.put(piece, aligned=False)
                    progress(len(piece))
            archive.put(bytes(-size % 4), aligned=False)
    archive.put(_header(b"TRAILER!!!", links=1))
    archive.put(bytes(-archive.written % _BLOCK))


class _Writer:
    """Writer of an archive, which counts the bytes that it has written."""

    def __init__(self, stream: Sink) -> None:
        self._stream = stream
        self.written = 0

    def put(self, data: bytes, aligned: bool = True) -> None:
        """Write data, with zeros up to a multiple of 4 bytes if it is to be aligned."""
        data += bytes(-len(data) % 4) if aligned else b""
        self._stream.write(data)
        self.written += len(data)


def _check_size(path: bytes, size: int) -> None:
    if size > _LARGEST:
        raise ImageError(
            f"{os.fsdecode(path)} is too large for a cpio archive",
            remedy="A file in a cpio archive has to be smaller than 4 GiB.",
        )


def _header(
    name: bytes,
    *,
    inode: int = 0,
    mode: int = 0,
    uid: int = 0,
    gid: int = 0,
    links: int,
    mtime: int = 0,
    size: int = 0,
    device: tuple[int, int] = (0, 0),
) -> bytes:
    numbers = (inode, mode, uid, gid, links, mtime, size, 0, 0, *device, len(name) + 1, 0)
    return b"070701" + b"".join(b"%08X" % number for number in numbers) + name + b"\0"
