"""Shell functions that scripts of a description can call; see docs/shell-functions.md."""

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
"""Files with functions; the first one has to come first."""


@cache
def functions_text() -> str:
    """Return the text of ``/.kconfig``."""
    folder = files(__package__)
    return "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in PARTS)
