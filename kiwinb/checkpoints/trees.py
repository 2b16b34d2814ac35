"""References to trees of the store, for workers, and the backends that show these trees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kiwinb.checkpoints.backend import Backend, BackendName
from kiwinb.checkpoints.copies import Copies
from kiwinb.checkpoints.overlay import Overlay

BACKENDS: Mapping[BackendName, Backend] = {"overlay": Overlay(), "copy": Copies()}
"""All backends, by name."""


@dataclass(frozen=True)
class TreeRef:
    """A tree in the store.

    Attributes:
        backend: Name of the store's backend.
        layers: Its ``data`` directories, the oldest first; empty for the empty tree.
        mnt: Directory of the store on which a worker mounts trees; only the worker sees them.
    """

    backend: BackendName
    layers: tuple[Path, ...]
    mnt: Path
