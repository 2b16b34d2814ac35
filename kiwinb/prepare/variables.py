"""Set variables in files of ``NAME="value"`` lines, such as those below ``/etc/default``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def set_variables(file: Path, variables: Mapping[str, str]) -> None:
    """Set variables in a file that shells and systemd read; its other lines stay as they are.

    Args:
        file: The file; it is created if it does not exist.
        variables: Values by name. They need no escapes inside double quotes.
    """
    text = file.read_text(encoding="utf-8", errors="surrogateescape") if file.exists() else ""
    lines = [line for line in text.splitlines() if _name(line) not in variables]
    lines += [f'{name}="{value}"' for name, value in variables.items()]
    text = "".join(f"{line}\n" for line in lines)
    file.write_text(text, encoding="utf-8", errors="surrogateescape")


def _name(line: str) -> str:
    return line.partition("=")[0].strip()
