"""Decompress what a file holds from some place on, and find where the compressed data ends.

A frame is what one run of a compressor writes. Tools write several frames one after the other into
one file, and initrds consist of frames of different compressions.

Sources of the formats: RFC 1952 (gzip), RFC 8878 (zstd), the specifications of xz and of LZ4
frames, and the programs lzop and ``lz4 -l``.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO, NamedTuple, Protocol, cast

import lz4.block
import lz4.frame
import zstandard

from kiwinb.inspect.formats import lzo
from kiwinb.inspect.formats.window import PIECE, DamagedError, Window

_INPUT = 1 << 16
_LZ4_BLOCK = 8 << 20
_LZ4_MOST = _LZ4_BLOCK + _LZ4_BLOCK // 255 + 16
_LZOP_MOST = 64 << 20


class _Decoder(Protocol):
    """A decoder of a library, for one frame."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    """A decoder of gzip with the methods of the others."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._inflater.eof

    @property
    def needs_input(self) -> bool:
        return not self._inflater.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inflater.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inflater.decompress(self._inflater.unconsumed_tail + data, max_length)


Pieces = Iterator[bytes | int]
"""Pieces of content, and at last the offset of the end of the frame."""


def _by_library(make: Callable[[], _Decoder]) -> Callable[[Window, int], Pieces]:
    def pieces(window: Window, at: int) -> Pieces:
        decoder = make()
        while not decoder.eof:
            hungry = decoder.needs_input
            data = window.peek(at, _INPUT) if hungry else b""
            at += len(data)
            try:
                found = decoder.decompress(data, PIECE)
            except RuntimeError as error:  # of LZ4
                raise DamagedError(str(error)) from error
            if found:
                yield found
            # LZ4's decoder can have input left, give nothing more of it, and only then want input.
            elif not data and not decoder.eof and (hungry or not decoder.needs_input):
                raise EOFError
        yield at - len(decoder.unused_data or b"")

    return pieces


def _zstd(window: Window, at: int) -> Pieces:
    end = _zstd_end(window, at)
    frame = Reader(window.part(at, end - at))
    decoder = zstandard.ZstdDecompressor(max_window_size=1 << 30)
    with decoder.stream_reader(cast(IO[bytes], frame)) as reader:
        while piece := reader.read(PIECE):
            yield piece
    yield end


def _zstd_end(window: Window, at: int) -> int:
    """Return the offset of the end of a frame, from the sizes of its blocks."""
    header = window.peek(at, 14)
    descriptor = header[4]
    single = descriptor >> 5 & 1
    at += 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
    at += (single, 2, 4, 8)[descriptor >> 6]
    last = False
    while not last:
        block = int.from_bytes(window.read(at, 3), "little")
        last, kind, size = bool(block & 1), block >> 1 & 3, block >> 3
        if kind == 3:
            raise DamagedError("a block is of no known type")
        at += 3 + (1 if kind == 1 else size)
    return at + (4 if descriptor & 4 else 0)


def _skipped(window: Window, at: int) -> Pieces:
    yield at + 8 + int.from_bytes(window.read(at + 4, 4), "little")


def _lz4_legacy(window: Window, at: int) -> Pieces:
    """Yield the blocks of a frame; all but the last one hold 8 MiB."""
    at += 4
    size = _LZ4_BLOCK
    while size == _LZ4_BLOCK:
        packed = int.from_bytes(window.peek(at, 4), "little")
        if not 0 < packed <= _LZ4_MOST or starts(window, at):
            break
        piece = lz4.block.decompress(window.read(at + 4, packed), uncompressed_size=_LZ4_BLOCK)
        at += 4 + packed
        size = len(piece)
        yield piece
    yield at


class _LzopFlags(NamedTuple):
    """Bits in the header of lzop: checksums of blocks, and optional fields."""

    adler_plain: int = 0x1
    adler_packed: int = 0x2
    extra: int = 0x40
    crc_plain: int = 0x100
    crc_packed: int = 0x200
    filtered: int = 0x800


_FLAGS = _LzopFlags()
_LZOP_TIMES = 0x0940  # the version from which on headers have more fields


def _lzop(window: Window, at: int) -> Pieces:
    at, flags = _lzop_header(window, at)
    while size := _number(window, at):
        packed = _number(window, at + 4)
        if size > _LZOP_MOST or packed > size:
            raise DamagedError("a block is larger than it may be")
        at += 8
        adler = _number(window, at) if flags & _FLAGS.adler_plain else None
        fields = [_FLAGS.adler_plain, _FLAGS.crc_plain]
        fields += [_FLAGS.adler_packed, _FLAGS.crc_packed] if packed < size else []
        at += 4 * sum(1 for flag in fields if flags & flag)
        data = window.read(at, packed)
        at += packed
        piece = lzo.decompress(data, size) if packed < size else data
        if len(piece) != size or (adler is not None and zlib.adler32(piece) != adler):
            raise DamagedError("the checksum of a block is wrong")
        yield piece
    yield at + 4


def _lzop_header(window: Window, at: int) -> tuple[int, int]:
    """Return the offset of the first block, and the flags."""
    at += 9
    newer = int.from_bytes(window.read(at, 2), "big") >= _LZOP_TIMES
    at += 8 if newer else 5
    flags = _number(window, at)
    at += 4 + (4 if flags & _FLAGS.filtered else 0) + (12 if newer else 8)
    at += 1 + window.read(at, 1)[0] + 4
    if flags & _FLAGS.extra:
        at += 4 + _number(window, at) + 4
    return at, flags


def _number(window: Window, at: int) -> int:
    return int.from_bytes(window.read(at, 4), "big")


class _Method(NamedTuple):
    name: str
    pieces: Callable[[Window, int], Pieces]


_ZSTD = _Method("zstd", _zstd)
_XZ = _by_library(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ))
_LZMA = _by_library(lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE))
_METHODS: Mapping[bytes, _Method] = {
    b"\x1f\x8b\x08": _Method("gzip", _by_library(_Gzip)),
    b"\xfd7zXZ\0": _Method("xz", _XZ),
    b"BZh": _Method("bzip2", _by_library(bz2.BZ2Decompressor)),
    b"\x28\xb5\x2f\xfd": _ZSTD,
    **{bytes((0x50 + low, 0x2A, 0x4D, 0x18)): _Method("zstd", _skipped) for low in range(16)},
    b"\x04\x22\x4d\x18": _Method("lz4", _by_library(lz4.frame.LZ4FrameDecompressor)),
    b"\x02\x21\x4c\x18": _Method("lz4", _lz4_legacy),
    b"\x89LZO\0\r\n\x1a\n": _Method("lzo", _lzop),
    b"\x5d\0\0": _Method("lzma", _LZMA),
}
_LONGEST = max(map(len, _METHODS))


def _method(window: Window, at: int) -> _Method | None:
    start = window.peek(at, 13)
    for magic, method in _METHODS.items():
        if start.startswith(magic):
            known = method.name != "lzma" or start[5:] == b"\xff" * 8 or start[10:] == bytes(3)
            return method if known else None
    return None


def starts(window: Window, at: int) -> str:
    """Return the name of the compression of what begins at an offset; empty if there is none."""
    found = _method(window, at)
    return found.name if found else ""


class Frames:
    """The content of consecutive frames of one compression; iterate over it only once.

    Args:
        window: The file.
        at: Offset of the first frame.
        padded: Whether zeros may be between the frames.

    Attributes:
        end: Offset of the end of the last frame, when all content is read.
    """

    def __init__(self, window: Window, at: int = 0, *, padded: bool = False) -> None:
        self._window = window
        self._padded = padded
        self.end = at

    def __iter__(self) -> Iterator[bytes]:
        name = starts(self._window, self.end)
        at = self.end
        while (method := _method(self._window, at)) and method.name == name:
            for piece in method.pieces(self._window, at):
                if isinstance(piece, int):
                    self.end = piece
                else:
                    yield piece
            if self.end > self._window.size:
                raise DamagedError("it ends early")
            at = self._window.skip_zeros(self.end) if self._padded else self.end


class Reader:
    """A window as a stream."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """Read some bytes; by default, up to a piece."""
        found = self._window.peek(self._at, size if size >= 0 else PIECE)
        self._at += len(found)
        return found

    def readable(self) -> bool:
        """Tell that the stream can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that the stream cannot be positioned."""
        return False

    def close(self) -> None:
        """Do nothing; the window stays open."""

    closed = False
