"""Lines of output, bounded: whatever a program prints, it fills neither memory nor disk nor time.

No honest build meets these bounds.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

Log = Callable[[str], object]

LONGEST_LINE = 16 << 10
"""Largest number of bytes of a line; what is beyond is cut off."""

MOST_LINES = 250_000
MOST_BYTES = 32 << 20
"""Largest number of lines, and of bytes, that a command or a step logs."""

_LINES_PER_SECOND = 5_000
_BYTES_PER_SECOND = 2 << 20
_LAST_BYTES = 64 << 10
_LAST_LINES = 20
_LONGEST_IN_MESSAGE = 1_000

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


@dataclass
class Budget:
    """What may still be logged.

    Attributes:
        lines: Number of lines.
        bytes: Number of bytes.
    """

    lines: int = MOST_LINES
    bytes: int = MOST_BYTES

    def take(self, size: int) -> bool:
        """Take a line from the budget; return whether there was enough."""
        if self.lines <= 0 or self.bytes < size:
            self.lines = 0
            return False
        self.lines -= 1
        self.bytes -= size
        return True


class LineSplitter:
    """Splitter of a byte stream into lines; of a line redrawn with CR, it keeps the last state.

    Args:
        say: Called with each line.
        budget: What may be logged, shared with other streams. When it is used up, lines are only
            counted, but for the last ones, which :meth:`end` says.
    """

    def __init__(self, say: Log, budget: Budget) -> None:
        self._say = say
        self._budget = budget
        self._rest = b""
        self._cut = 0
        self._left_out = 0

    def feed(self, data: bytes) -> None:
        """Take the next piece of the stream."""
        if self._budget.lines <= 0:
            self._left_out += len(data)
            self._rest = (self._rest + data)[-_LAST_BYTES:]
            return
        *lines, rest = data.split(b"\n")
        for number, line in enumerate(lines):
            if not self._budget.take(min(len(line), LONGEST_LINE)):
                self.feed(b"\n".join((*lines[number:], rest)))
                return
            self._append(line)
            self._emit()
        self._append(rest)

    def end(self) -> None:
        """Say what is left at the end of the stream."""
        if self._left_out:
            lines = self._rest.splitlines()[-_LAST_LINES:]
            left = max(0, self._left_out - sum(len(line) + 1 for line in lines))
            self._say(f"[{left:,} bytes of output are left out here]")
            for line in lines:
                self._rest, self._cut = b"", 0
                self._append(line)
                self._emit()
            self._left_out = 0
        elif self._rest:
            self._emit()

    def _append(self, piece: bytes) -> None:
        self._rest += piece
        if len(self._rest) <= LONGEST_LINE:
            return
        body = self._rest.rstrip(b"\r")
        end = b"\r" if len(body) < len(self._rest) else b""
        _before, redrawn, last = body.rpartition(b"\r")
        if redrawn:
            self._cut = 0
        self._cut += max(0, len(last) - LONGEST_LINE)
        self._rest = last[:LONGEST_LINE] + end

    def _emit(self) -> None:
        text = self._rest.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace")
        note = f" [{self._cut:,} bytes of this line are left out]" if self._cut else ""
        self._rest, self._cut = b"", 0
        self._say(_CONTROL.sub("", text) + note)


class Gate:
    """Passes on lines, but for those that come too fast or are too many; it says how many.

    Args:
        say: Called with each line.
        fast: Whether lines may come at any rate.
    """

    def __init__(self, say: Log, *, fast: bool = False) -> None:
        self._say = say
        self._fast = fast
        self._total = Budget()
        self._second = Budget(_LINES_PER_SECOND, _BYTES_PER_SECOND)
        self._until = 0.0
        self._left_out = 0

    def __call__(self, line: str) -> None:
        """Pass on a line."""
        size = len(line)
        if self._total.lines <= 0 or not self._in_time(size) or not self._total.take(size):
            self._left_out += 1
            return
        self.end()
        self._say(line)

    def end(self) -> None:
        """Say how many lines were left out since the last one that was passed on."""
        if self._left_out:
            left, self._left_out = self._left_out, 0
            self._say(f"[{left:,} lines are left out here]")

    def _in_time(self, size: int) -> bool:
        if self._fast:
            return True
        now = time.monotonic()
        if now >= self._until:
            self._until = now + 1
            self._second = Budget(_LINES_PER_SECOND, _BYTES_PER_SECOND)
        return self._second.take(size)


def for_message(line: str) -> str:
    """Shorten a line for the message of an error."""
    left = len(line) - _LONGEST_IN_MESSAGE
    return line if left <= 0 else f"{line[:_LONGEST_IN_MESSAGE]} [and {left:,} characters more]"
