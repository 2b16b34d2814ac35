"""The shell functions that scripts of a description may call; see docs/shell-functions.md."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

PARTS = (
    "messages.sh",
    "services.sh",
    "settings.sh",
    "mounts.sh",
    "strip.sh",
    "kernel.sh",
    "obsolete.sh",
)
"""The files of functions; the first one comes before all others."""


@cache
def functions_text() -> str:
    """The text of ``/.kconfig``."""
    folder = files(__package__)
    return "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in PARTS)
