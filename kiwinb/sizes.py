"""Sizes for people, in binary units."""

from __future__ import annotations


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
