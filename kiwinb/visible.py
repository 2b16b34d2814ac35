r"""Show texts of other people as data: what could steer a terminal or mislead a reader is escaped.

Names and texts in trees, packages, images and descriptions can hold escape sequences of terminals,
controls that turn the direction of writing, and characters without a shape. Whatever kiwinb shows
to people goes through :func:`visible` first; JSON, CSV and mtree lists for programs do not.
"""

from __future__ import annotations

import re
from functools import lru_cache

_UNUSUAL = re.compile(r"[^ -~]")
_UNUSUAL_IN_LINES = re.compile(r"[^ -~\n\t]")
_SHAPELESS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
"""Characters that Unicode counts among letters, marks and symbols, but that nobody can see."""

_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def visible(text: str, *, lines: bool = False) -> str:
    r"""Escape the characters of a text that are not visible by themselves.

    They are controls, format characters, separators other than the blank, surrogates, and
    characters without a shape or without a meaning. Bytes that are not UTF-8 become ``\xff``,
    characters ``\x1b``, ``\u202e`` or ``\U000e0001``. Backslashes stay as they are, so a text can
    be escaped twice, and the result does not tell an escape from the same letters in a name.

    Args:
        text: The text; ``surrogateescape`` may have decoded it.
        lines: Whether line ends and tabs in it belong to its layout, and stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return (_UNUSUAL_IN_LINES if lines else _UNUSUAL).sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return _shown(found[0])


@lru_cache(maxsize=4096)
def _shown(character: str) -> str:
    if character.isprintable() and not _SHAPELESS.match(character):
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return _NAMED.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
