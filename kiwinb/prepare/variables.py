"""Set variables in files of ``NAME="value"`` lines, such as those below ``/etc/default``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kiwinb.sandbox.tree_files import read_text_in, write_in


def set_variables(root: Path, path: str, variables: Mapping[str, str]) -> None:
    """Set variables in a file that shells and systemd read; its other lines stay as they are.

    Args:
        root: The root tree.
        path: Path of the file in it; it is created if it does not exist.
        variables: Values by name. They need no escapes inside double quotes.
    """
    lines = [line for line in read_text_in(root, path).splitlines() if _name(line) not in variables]
    lines += [f'{name}="{value}"' for name, value in variables.items()]
    write_in(root, path, "".join(f"{line}\n" for line in lines))


def _name(line: str) -> str:
    return line.partition("=")[0].strip()
