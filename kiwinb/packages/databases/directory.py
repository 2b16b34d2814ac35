"""The files of a root tree in a directory of this host, as package databases read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kiwinb.sandbox.paths import resolve_in


class DirectoryFiles:
    """A root tree in a directory; symbolic links are followed inside of it.

    Args:
        root: The directory.
    """

    has_contents = True

    def __init__(self, root: Path) -> None:
        self._root = root

    def exists(self, path: str) -> bool:
        """Whether there is anything at the path."""
        return resolve_in(self._root, path).exists()

    def read(self, path: str) -> bytes:
        """What is in a file.

        Raises:
            OSError: There is no file at the path, or it cannot be read.
        """
        return resolve_in(self._root, path).read_bytes()

    def read_many(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """What is in several files, by path."""
        return {path: self.read(path) for path in paths}

    def below(self, directory: str) -> Sequence[str]:
        """The paths below a directory, sorted."""
        top = resolve_in(self._root, directory)
        found = (file.relative_to(top) for file in top.rglob("*"))
        return sorted(f"{directory.rstrip('/')}/{path}" for path in found)
