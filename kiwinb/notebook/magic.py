"""The cell magic ``%%kiwi FILE``, which validates a description and writes it to a file."""

from __future__ import annotations

import os
import stat
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from kiwinb.description.document import Document, read
from kiwinb.description.xml import find_description
from kiwinb.errors import DescriptionError, DescriptionErrors
from kiwinb.visible import visible


def register(shell: Any) -> None:
    """Register the magic in an IPython shell; ``%load_ext kiwinb`` calls this."""
    shell.register_magic_function(kiwi, magic_kind="cell", magic_name="kiwi")


def kiwi(line: str, cell: str) -> None:
    """Write a cell to a description file, if it is a valid description.

    Args:
        line: The file, or the description directory.
        cell: The description.

    Raises:
        DescriptionError: The description is not valid, or cannot be written; the file is unchanged.
    """
    name = line.strip().strip("\"'")
    if not name:
        raise DescriptionError(
            "%%kiwi needs the name of a file", remedy="Write: %%kiwi my-image/config.xml"
        )
    file = Path(name).expanduser()
    if file.is_dir():
        file = find_description(file) if any(file.glob("*.kiwi")) else file / "config.xml"
    document = write(file, cell)
    image = document.tree.getroot().get("name", "")
    print(visible(f"{file} is a valid description of {image}."))


def write(file: Path, text: str) -> Document:
    """Write a description file, if its text is valid.

    Paths of included files are relative to the directory of the file.

    Args:
        file: The file; its directory is created if necessary.
        text: The description as XML.

    Raises:
        DescriptionError: The text is not valid, or the file cannot be written; the file is
            unchanged.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        draft = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text.lstrip())
            document = read(draft)
            draft.chmod(stat.S_IMODE(file.stat().st_mode) if file.exists() else 0o644)
            draft.replace(file)
            return replace(document, file=file, files=(file, *document.files[1:]))
        except DescriptionErrors as error:
            raise DescriptionErrors([_about(each, draft, file) for each in error.errors]) from None
        except DescriptionError as error:
            raise _about(error, draft, file) from None
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise DescriptionError(
            f"{file} cannot be written: {error.strerror}", remedy="Choose another place."
        ) from error


def _about(error: DescriptionError, draft: Path, file: Path) -> DescriptionError:
    """Replace the name of the draft in an error by that of the file."""
    if error.location is not None and error.location.file.name == draft.name:
        error.location = replace(error.location, file=file)
    return error
