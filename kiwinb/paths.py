"""Paths as users name them."""

from __future__ import annotations

import os
from pathlib import Path


def normalised(path: str | os.PathLike[str]) -> Path:
    """A path without ``..`` in it, where that can be; ``notebooks/../out`` is ``out``.

    It leads where the path led before: a symbolic link stays as the user named it, and is
    followed only where ``..`` stands behind it. A relative path stays relative.
    """
    made = Path()
    for part in Path(path).parts:
        if part != "..":
            made /= part
        elif made.is_symlink():
            made = made.resolve().parent
        elif made.name in ("", ".."):  # the root directory, or above the current one
            made = made if made.is_absolute() else made / part
        else:
            made = made.parent
    return made
