"""Read and write files of a root tree outside of the cage, where a link could lead to the host.

Every part of a path is resolved in the tree, the last one included, and nothing but a regular file
is opened. Programs of the tree must not run meanwhile; see :func:`~kiwinb.sandbox.paths.anchored`.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from kiwinb.errors import ImageError
from kiwinb.files import NotRegularError, open_regular
from kiwinb.sandbox.paths import resolve_in


def read_in(root: Path, path: str) -> bytes:
    """Return the content of a file of a tree.

    Args:
        root: The root tree.
        path: Path in the tree.

    Raises:
        ImageError: It is no regular file.
        OSError: There is no such file, or it cannot be read.
    """
    with _opened(root, path) as stream:
        return stream.read()


def read_text_in(root: Path, path: str, *, errors: str = "surrogateescape") -> str:
    """Return the text of a file of a tree; empty if there is no such file.

    Args:
        root: The root tree.
        path: Path in the tree.
        errors: What becomes of bytes that are not UTF-8; see :meth:`bytes.decode`.

    Raises:
        ImageError: It is no regular file.
        OSError: It cannot be read.
    """
    try:
        return read_in(root, path).decode(errors=errors)
    except FileNotFoundError:
        return ""


def write_in(root: Path, path: str, content: str | bytes, *, mode: int | None = None) -> None:
    """Write a file of a tree, and the directories above it; a file that exists keeps its mode.

    Args:
        root: The root tree.
        path: Path in the tree.
        content: What to write; text is written as UTF-8, with surrogates for other bytes.
        mode: Permission bits; those of the umask or of the present file by default.

    Raises:
        ImageError: At the path is something else than a regular file.
        OSError: The file cannot be written.
    """
    place = resolve_in(root, path)
    place.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(place) and not stat.S_ISREG(place.lstat().st_mode):
        raise _no_file(path)
    place.write_bytes(
        content.encode(errors="surrogateescape") if isinstance(content, str) else content
    )
    if mode is not None:
        place.chmod(mode)


def copy_out(root: Path, path: str, target: Path) -> None:
    """Copy the content of a file of a tree to a new file outside of it.

    Args:
        root: The root tree.
        path: Path in the tree.
        target: The new file; its directory has to exist.

    Raises:
        ImageError: It is no regular file.
        OSError: There is no such file, or it cannot be copied.
    """
    with _opened(root, path) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)


def names_in(root: Path, directory: str) -> list[str]:
    """Return the names in a directory of a tree, sorted; empty if there is no such directory."""
    place = resolve_in(root, directory)
    return sorted(path.name for path in place.iterdir()) if place.is_dir() else []


@contextmanager
def _opened(root: Path, path: str) -> Iterator[BinaryIO]:
    try:
        stream = open_regular(resolve_in(root, path))
    except NotRegularError:
        raise _no_file(path) from None
    with stream:
        yield stream


def _no_file(path: str) -> ImageError:
    return ImageError(
        f"/{path.lstrip('/')} in the root tree is not a file",
        remedy="Find out which package, overlay or script has put something else there.",
    )
