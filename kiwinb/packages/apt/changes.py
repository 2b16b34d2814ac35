"""Collect the Debian changelogs of a tree."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from kiwinb.errors import PackageError
from kiwinb.sandbox.paths import resolve_in

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
    documents = resolve_in(root, _DOCUMENTS)
    names = sorted(path.name for path in documents.iterdir()) if documents.is_dir() else []
    return "".join(_changelog(root, name) for name in names)


def _changelog(root: Path, name: str) -> str:
    """The text of one package; empty if it has no changelog."""
    debian, native = (resolve_in(root, f"{_DOCUMENTS}/{name}/{file}") for file in _CHANGELOGS)
    text = _read(debian) if debian.is_file() else _read(native) if native.is_file() else ""
    if not debian.is_file() and not _is_of_debian(text):
        return ""
    return f"{name}|\n{text}\n"


def _is_of_debian(text: str) -> bool:
    """Whether a text begins as the changelogs of Debian do: ``name (version) suites; …``."""
    head = text.partition("\n")[0]
    return " (" in head and ") " in head and ";" in head


def _read(file: Path) -> str:
    try:
        with gzip.open(file) as changelog:
            return changelog.read().decode("utf-8", "surrogateescape")
    except (OSError, EOFError, zlib.error) as error:
        raise PackageError(f"{file} cannot be read: {error}") from error
