"""Write files so that no reader ever sees a part of one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def replace_file(file: Path, content: str | bytes) -> None:
    """Write a file atomically: readers see its old content, or all of the new one.

    Args:
        file: The file; its directory has to exist.
        content: What to write; text is written as UTF-8.

    Raises:
        OSError: The file cannot be written; it is unchanged.
    """
    data = content.encode() if isinstance(content, str) else content
    draft = file.with_name(f".{file.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        draft.write_bytes(data)
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
