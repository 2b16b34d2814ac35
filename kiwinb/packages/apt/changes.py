"""Collect the Debian changelogs of a tree."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from kiwinb.errors import PackageError
from kiwinb.sandbox.paths import resolve_in
from kiwinb.sandbox.tree_files import names_in, read_in

_DOCUMENTS = "/usr/share/doc"
_CHANGELOGS = ("changelog.Debian.gz", "changelog.gz")
"""The changelog of Debian, and that of a package without upstream, which has no other."""


def changes(root: Path) -> str:
    """Return the changelogs of a tree, as KIWI NG's ``.changes`` file has them.

    Each begins with a line ``NAME|``, where NAME is its directory in ``/usr/share/doc``, and ends
    with an empty line. They are in the order of these names. Bytes that are not UTF-8 become
    surrogates.

    Raises:
        PackageError: A changelog is damaged.
    """
    return "".join(_changelog(root, name) for name in names_in(root, _DOCUMENTS))


def _changelog(root: Path, name: str) -> str:
    """The text of one package; empty if it has no changelog."""
    for file in _CHANGELOGS:
        path = f"{_DOCUMENTS}/{name}/{file}"
        if resolve_in(root, path).is_file():
            text = _read(root, path)
            is_named = file == _CHANGELOGS[0] or _is_of_debian(text)
            return f"{name}|\n{text}\n" if is_named else ""
    return ""


def _is_of_debian(text: str) -> bool:
    """Whether a text begins as the changelogs of Debian do: ``name (version) suites; …``."""
    head = text.partition("\n")[0]
    return " (" in head and ") " in head and ";" in head


def _read(root: Path, path: str) -> str:
    try:
        return gzip.decompress(read_in(root, path)).decode("utf-8", "surrogateescape")
    except (OSError, EOFError, zlib.error) as error:
        raise PackageError(f"{path} of the root tree cannot be read: {error}") from error
