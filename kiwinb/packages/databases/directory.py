"""Files of a root tree in a directory of this host, for package databases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kiwinb.sandbox.paths import inner_path, resolve_in
from kiwinb.sandbox.tree_files import read_in


class DirectoryFiles:
    """A root tree in a directory, inside which symbolic links are resolved.

    Args:
        root: The directory.
    """

    has_contents = True

    def __init__(self, root: Path) -> None:
        self._root = root

    def exists(self, path: str) -> bool:
        """Tell whether there is a file of any kind at the path."""
        return resolve_in(self._root, path).exists()

    def resolved(self, path: str) -> str:
        """Return where a path leads in the tree when symbolic links are followed."""
        return inner_path(self._root, resolve_in(self._root, path))

    def found(self, paths: Sequence[str]) -> Mapping[str, str]:
        """Return those paths that lead to regular files, each with its path without links."""
        places = {path: resolve_in(self._root, path) for path in paths}
        return {
            path: inner_path(self._root, place) for path, place in places.items() if place.is_file()
        }

    def read(self, path: str) -> bytes:
        """Read the content of a file.

        Raises:
            OSError: There is no file at the path, or it cannot be read.
        """
        return read_in(self._root, path)

    def read_many(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """Read the content of several files, by path.

        Raises:
            OSError: As for :meth:`read`.
        """
        return {path: self.read(path) for path in paths}

    def below(self, directory: str) -> Sequence[str]:
        """List the paths below a directory, sorted; empty if the directory does not exist."""
        top = resolve_in(self._root, directory)
        found = (file.relative_to(top) for file in top.rglob("*"))
        return sorted(f"{directory.rstrip('/')}/{path}" for path in found)
