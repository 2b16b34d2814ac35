"""Keep trees as full copies; this works on every file system with owners and attributes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kiwinb.checkpoints.backend import Place, copy_tree
from kiwinb.sandbox.mounts import bind, make_harmless, unmount


class Copies:
    """The backend ``copy``."""

    stacked = False

    @contextmanager
    def work(self, layers: Sequence[Path], draft: Path, place: Place) -> Iterator[Path]:
        """See :class:`~kiwinb.checkpoints.backend.Backend`."""
        with self._copied(layers, draft / "data", place) as tree:
            yield tree

    @contextmanager
    def scratch(self, layers: Sequence[Path], draft: Path, place: Place) -> Iterator[Path]:
        """See :class:`~kiwinb.checkpoints.backend.Backend`."""
        with self._copied(layers, draft / "scratch", place) as tree:
            yield tree

    @contextmanager
    def view(self, layers: Sequence[Path], place: Place) -> Iterator[Path]:
        """See :class:`~kiwinb.checkpoints.backend.Backend`."""
        bind(layers[-1], place.tree, readonly=True)
        try:
            make_harmless(place.tree, nosuid=True)
            yield place.tree
        finally:
            unmount(place.tree)

    @contextmanager
    def _copied(self, layers: Sequence[Path], copy: Path, place: Place) -> Iterator[Path]:
        if layers:
            copy_tree(layers[-1], copy)
        else:
            copy.mkdir(0o755)
        bind(copy, place.tree)
        try:
            make_harmless(place.tree)
            yield place.tree
        finally:
            unmount(place.tree)
