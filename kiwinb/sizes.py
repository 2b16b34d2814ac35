"""Sizes for people, in binary units."""

from __future__ import annotations

import re

MIB = 1 << 20
"""Bytes of a MiB."""

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def binary(size: float) -> str:
    """A size in bytes with a binary unit: ``512 B``, ``1.5 KiB``, ``2.0 GiB``."""
    if abs(size) < 1024:
        return f"{size:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if abs(size) < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TiB"


def signed(size: float) -> str:
    """A gain or loss in bytes with its sign: ``+1.5 KiB``, ``-512 B``, ``±0 B``."""
    return f"{'+' if size > 0 else '' if size else '±'}{binary(size)}"


def parse_size(text: str) -> int | None:
    """Bytes of a size such as ``512``, ``40G``, ``40g`` or ``1 MiB``; ``None`` when it is no size.

    All units are binary: ``1 MB`` is ``1 MiB``.
    """
    match = re.fullmatch(r"(\d+)\s*([KMGT]?)(?:I?B)?", text.strip().upper(), re.ASCII)
    return int(match[1]) * _UNITS[match[2]] if match else None
