"""Decompress LZO1X, as lzop and squashfs use it.

Source of the format: the description of the LZO stream in the documentation of Linux.
"""

from __future__ import annotations

from kiwinb.inspect.formats.window import DamagedError

_FIRST_LITERALS = 17
_LONG = 255


class _Input:
    """Compressed bytes, and how many of them are read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def word(self) -> int:
        return self.byte() | self.byte() << 8

    def literals(self, count: int) -> bytes:
        found = self.data[self.at : self.at + count]
        if len(found) < count:
            raise DamagedError("a compressed block ends early")
        self.at += count
        return found

    def length(self, code: int, mask: int) -> int:
        """Return the length in an instruction; if its bits are zero, the length follows it."""
        if code & mask:
            return code & mask
        length = mask
        while not (more := self.byte()):
            length += _LONG
        return length + more


def decompress(data: bytes, most: int) -> bytes:
    """Decompress a block.

    Args:
        data: The whole block.
        most: Largest size of the result in bytes.

    Raises:
        DamagedError: The result is too large, or the block is damaged.
        IndexError: The block ends early.
    """
    source, found = _Input(data), bytearray()
    state = 0  # literals copied by the last instruction; 4 for a run of literals
    if data[0] > _FIRST_LITERALS:
        count = source.byte() - _FIRST_LITERALS
        found += source.literals(count)
        state = min(count, 4)
    while True:
        code = source.byte()
        if code < 16 and not state:
            found += source.literals(3 + source.length(code, 15))
            state = 4
        else:
            length, distance, state = _match(code, state, source)
            if not length:
                return bytes(found)
            _copy(found, length, distance)
            found += source.literals(state)
        if len(found) > most:
            raise DamagedError("a block is larger than it may be")


def _match(code: int, state: int, source: _Input) -> tuple[int, int, int]:
    """Read an instruction that repeats bytes.

    Returns:
        Number of bytes, distance back to them, and the number of literals that follow; the number
        of bytes is 0 at the end of the block.
    """
    if code >= 64:
        length = 3 + (code >> 5 & 1) if code < 128 else 5 + (code >> 5 & 3)
        return length, (source.byte() << 3) + (code >> 2 & 7) + 1, code & 3
    if code >= 32:
        length = 2 + source.length(code, 31)
        word = source.word()
        return length, (word >> 2) + 1, word & 3
    if code >= 16:
        length = 2 + source.length(code, 7)
        word = source.word()
        distance = 16384 + ((code & 8) << 11) + (word >> 2)
        return (length if distance != 16384 else 0), distance, word & 3
    far = state == 4
    distance = (source.byte() << 2) + (code >> 2) + (2049 if far else 1)
    return (3 if far else 2), distance, code & 3


def _copy(found: bytearray, length: int, distance: int) -> None:
    start = len(found) - distance
    if start < 0:
        raise DamagedError("a compressed block refers to what is before it")
    piece = found[start : start + length]
    while len(piece) < length:  # the bytes overlap: they repeat
        piece += piece[: length - len(piece)]
    found += piece
