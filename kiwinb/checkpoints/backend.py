"""How the store keeps trees: as layers of an overlay file system, or as full copies."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from kiwinb.sandbox.command import run
from kiwinb.sandbox.mounts import mount

BackendName = Literal["overlay", "copy"]


@dataclass(frozen=True)
class Place:
    """Where a worker shows trees: a tmpfs of its own, mounted at the store's ``mnt``.

    Attributes:
        tree: Mount point of the tree.
        layers: Directory for short names of layers, because mount options have to fit in one page.
    """

    tree: Path
    layers: Path


class Backend(Protocol):
    """A way to keep trees; its methods run in a worker.

    ``layers`` are the ``data`` directories of a tree's checkpoint and of those it is based on,
    the first made first; empty for the empty tree. Each method shows the tree at ``place.tree``.
    """

    stacked: bool
    """A checkpoint needs those that it is based on."""

    def work(
        self, layers: Sequence[Path], draft: Path, place: Place
    ) -> AbstractContextManager[Path]:
        """A writable tree; if the context ends well, ``draft/data`` holds the result."""
        ...

    def scratch(
        self, layers: Sequence[Path], draft: Path, place: Place
    ) -> AbstractContextManager[Path]:
        """A writable tree; its changes are discarded with the draft."""
        ...

    def view(self, layers: Sequence[Path], place: Place) -> AbstractContextManager[Path]:
        """A read-only tree."""
        ...


def make_place(mnt: Path) -> Place:
    """Prepare the place where this worker shows trees."""
    mount("tmpfs", mnt, "tmpfs", options="mode=0755")
    place = Place(mnt / "tree", mnt / "layers")
    place.tree.mkdir()
    place.layers.mkdir()
    return place


def copy_tree(source: Path, destination: Path) -> None:
    """Copy a tree with owners, modes, times, hard links, holes and extended attributes.

    The copy shares data blocks if the file system supports this.
    """
    run(
        [
            *("cp", "-dR", "--preserve=mode,ownership,timestamps,links,xattr"),
            *("--reflink=auto", "--sparse=auto", "-T", "--", source, destination),
        ]
    )
