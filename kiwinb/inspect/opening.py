"""Whatever can be looked into, as a tree."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from kiwinb.checkpoints.checkpoint import Checkpoint
from kiwinb.checkpoints.store import open_store
from kiwinb.errors import InspectError, StoreError
from kiwinb.inspect.formats import HasTree, open_tree
from kiwinb.inspect.formats.checkpoint import CheckpointTree
from kiwinb.inspect.tree import Tree
from kiwinb.settings import load_settings
from kiwinb.steps.step import Step

_KEY = re.compile(r"[0-9a-f]{6,64}")


Source: TypeAlias = HasTree | Tree | Checkpoint | Step | str | os.PathLike[str]
"""A root tree, an image, a checkpoint, a step, a path, or the (beginning of the) key of a step."""


@contextmanager
def opened(source: Source) -> Iterator[Tree]:
    """The tree of a source; what was opened for it is closed again.

    Raises:
        InspectError: There is no such thing, or it is of no known format.
        StoreError: The store does not hold it.
    """
    if isinstance(source, HasTree):
        with source.tree() as tree:
            yield tree
    elif isinstance(source, Checkpoint | Step):
        yield _in_store(source.key)
    elif isinstance(source, str | os.PathLike):
        path = Path(source)
        if not path.exists() and _KEY.fullmatch(os.fspath(source)):
            yield _in_store(os.fspath(source))
            return
        with open_tree(source) as tree:
            yield tree
    elif hasattr(source, "scan") and hasattr(source, "read_many"):
        yield source
    else:
        raise InspectError(
            f"a {type(source).__name__} is nothing that can be looked into",
            remedy="Give a root tree, an image, a checkpoint, or a path.",
        )


def _in_store(prefix: str) -> Tree:
    store = open_store(load_settings())
    found = [item for item in store.list() if item.key.startswith(prefix)]
    if len(found) != 1:
        raise StoreError(
            f"{'no' if not found else len(found)} checkpoints have a key that starts with {prefix}",
            remedy="See `kiwinb checkpoints list`, and give more digits of the key.",
        )
    (checkpoint,) = found
    if checkpoint.output != "tree":
        raise InspectError(
            f"the checkpoint {checkpoint.key[:12]} ({checkpoint.name}) is no root tree",
            remedy="Name a step that leaves a tree.",
        )
    return CheckpointTree(store, checkpoint.key, f"{checkpoint.name} {checkpoint.key[:12]}")
