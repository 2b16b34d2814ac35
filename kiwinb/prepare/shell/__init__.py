"""The shell functions that scripts of a description may call."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def functions_text() -> str:
    """The text of ``/.kconfig``."""
    return files(__package__).joinpath("functions.sh").read_text(encoding="utf-8")
