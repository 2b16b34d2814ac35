"""Steps that continue from a root tree that was imported from a directory."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import ClassVar

from kiwinb.errors import StoreError
from kiwinb.results.exported import EXPORT_FOLDER
from kiwinb.steps.keys import Digest
from kiwinb.steps.step import DraftStep, Output, Step, StepContext


@dataclass(frozen=True)
class Imported:
    """Stands for a tree that was imported from a directory; it cannot be made again."""

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    key: Digest

    def run(self, context: StepContext) -> None:
        """Raise an error: the tree is gone.

        Raises:
            StoreError: Always.
        """
        raise StoreError("the imported root tree is not in the store", remedy="Run again.")


@dataclass(frozen=True)
class LeaveOutDescription:
    """Remove the directory ``image``, which is not part of the image."""

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        """Remove the directory."""
        shutil.rmtree(context.root / EXPORT_FOLDER)


def imported(key: Digest) -> Step:
    """The step that stands for a tree that the store imported from a directory."""
    return Step("import", "Take the root tree", Imported(key), None, (), {"tree": key}, key, key)


def leave_out_description(taken: Step) -> DraftStep:
    """The step that follows :func:`imported`."""
    return DraftStep("tree", "Leave out the description", LeaveOutDescription(), base=taken.name)
