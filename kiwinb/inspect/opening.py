"""Open all sources that can be inspected as trees."""

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
"""A root tree, an image, a checkpoint, a step, a path, or a step's key or the beginning of one."""


@contextmanager
def opened(source: Source) -> Iterator[Tree]:
    """Open the tree of a source, and close it afterwards if it was opened here.

    Raises:
        InspectError: The source does not exist, or has an unknown format.
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
            f"a {type(source).__name__} cannot be inspected",
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
            f"the checkpoint {checkpoint.key[:12]} ({checkpoint.name}) is not a root tree",
            remedy="Name a step whose result is a tree.",
        )
    return CheckpointTree(store, checkpoint.key, f"{checkpoint.name} {checkpoint.key[:12]}")
