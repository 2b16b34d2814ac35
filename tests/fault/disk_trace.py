"""What was written to a disk, and what of it is there after the power failed.

A disk may keep what it got since its last flush, or not, in whole or in part, and in any order.
What it got before, it has.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

WRITE, FLUSH, MARK = b"w", b"f", b"m"
_HEAD = struct.Struct("<cQI")
_PIECE = 4096
_SECTOR = 512


@dataclass(frozen=True)
class Write:
    """Bytes that were written to a disk.

    Attributes:
        offset: Where, in bytes.
        data: The bytes.
    """

    offset: int
    data: bytes


@dataclass(frozen=True)
class Epoch:
    """What happened between two flushes.

    Attributes:
        writes: In the order in which they arrived.
        marks: The words that were noted.
    """

    writes: tuple[Write, ...]
    marks: tuple[str, ...]


@dataclass(frozen=True)
class Trace:
    """The trace of a disk.

    Attributes:
        epochs: What happened up to the first flush, then up to the second one, and so on; the last
            one has what came after the last flush.
    """

    epochs: tuple[Epoch, ...]

    @classmethod
    def parse(cls, data: bytes) -> Trace:
        """Read the bytes that :func:`pack` made.

        Raises:
            ValueError: They end within an event.
        """
        epochs: list[Epoch] = []
        writes: list[Write] = []
        marks: list[str] = []
        for kind, offset, content in _events(data):
            if kind == WRITE:
                writes.append(Write(offset, content))
            elif kind == MARK:
                marks.append(content.decode())
            else:
                epochs.append(Epoch(tuple(writes), tuple(marks)))
                writes, marks = [], []
        return cls((*epochs, Epoch(tuple(writes), tuple(marks))))

    @cached_property
    def moments(self) -> tuple[int, ...]:
        """Numbers of flushes after which the disk differs from what it was at the flush before."""
        numbers = range(1, len(self.epochs))
        return tuple(n for n in numbers if self.epochs[n - 1].writes or self.epochs[n].writes)

    def said(self, flush: int) -> tuple[str, ...]:
        """The marks that were noted before the power failed, which is just before the next flush.

        Args:
            flush: How many flushes the disk has seen.
        """
        return tuple(mark for epoch in self.epochs[: flush + 1] for mark in epoch.marks)

    def kept(self, flush: int) -> Iterator[Write]:
        """The writes that are on the disk for certain."""
        for epoch in self.epochs[:flush]:
            yield from epoch.writes

    def lost(self, flush: int, dice: random.Random) -> tuple[Write, ...]:
        """Some of the writes that came after a flush, in pieces and in any order.

        Args:
            flush: How many flushes the disk has seen.
            dice: Decides which.
        """
        found = [piece for write in self.epochs[flush].writes for piece in pieces(write)]
        share = dice.choice((0.1, 0.5, 0.9, 1.0))
        chosen = [_torn(piece, dice) for piece in found if dice.random() < share]
        if dice.random() < 0.5:
            dice.shuffle(chosen)
        return tuple(chosen)


def pieces(write: Write) -> Iterator[Write]:
    """Split a write into blocks, each of which a disk may keep or lose."""
    for start in range(0, len(write.data), _PIECE):
        yield Write(write.offset + start, write.data[start : start + _PIECE])


def _torn(write: Write, dice: random.Random) -> Write:
    """Now and then, only the first sectors of a block."""
    sectors = len(write.data) // _SECTOR
    if sectors < 2 or dice.random() < 0.9:
        return write
    return Write(write.offset, write.data[: dice.randrange(1, sectors) * _SECTOR])


def pack(kind: bytes, offset: int = 0, data: bytes = b"") -> bytes:
    """One event as bytes."""
    return _HEAD.pack(kind, offset, len(data)) + data


def _events(data: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    at = 0
    while at < len(data):
        if at + _HEAD.size > len(data):
            raise ValueError("the trace ends within an event")
        kind, offset, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size + length
        if at > len(data):
            raise ValueError("the trace ends within an event")
        yield kind, offset, data[at - length : at]


def write_image(image: Path, size: int, writes: Sequence[Write] | Iterator[Write]) -> None:
    """Write an image of a disk.

    Args:
        image: The file; it is replaced.
        size: In bytes.
        writes: What the disk got, in order.
    """
    with image.open("wb") as file:
        file.truncate(size)
        for write in writes:
            file.seek(write.offset)
            file.write(write.data)
