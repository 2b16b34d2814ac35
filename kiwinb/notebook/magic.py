"""``%%kiwi FILE``: a description that is edited in a cell, and validated when it runs."""

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


def register(shell: Any) -> None:
    """Give an IPython shell the magic; ``%load_ext kiwinb`` does this."""
    shell.register_magic_function(kiwi, magic_kind="cell", magic_name="kiwi")


def kiwi(line: str, cell: str) -> None:
    """Write the cell as a description file, if it is a valid description.

    Args:
        line: The file, or the directory of a description.
        cell: The description.

    Raises:
        DescriptionError: It is not valid; the file is as it was before.
    """
    name = line.strip().strip("\"'")
    if not name:
        raise DescriptionError(
            "%%kiwi is not told where to write to", remedy="Write: %%kiwi my-image/config.xml"
        )
    file = Path(name).expanduser()
    if file.is_dir():
        file = find_description(file) if any(file.glob("*.kiwi")) else file / "config.xml"
    document = write(file, cell)
    image = document.tree.getroot().get("name", "")
    print(f"{file} is a valid description of {image}.")


def write(file: Path, text: str) -> Document:
    """Write a description file, if the text is a valid one.

    What it includes is looked for beside the file.

    Args:
        file: The file; its directory is made when it is not there.
        text: The description as XML.

    Raises:
        DescriptionError: The text is not valid, or the file cannot be written; the file is as it
            was before.
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
    """The error, with the file's own name in place of the draft's."""
    if error.location is not None and error.location.file.name == draft.name:
        error.location = replace(error.location, file=file)
    return error
