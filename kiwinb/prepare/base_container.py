"""Start the root tree from a base container (``derived_from``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kiwinb.create.container_base import BASE_CONTAINER, import_base, read_base, unpack_base
from kiwinb.plan.keys import Source
from kiwinb.plan.step import DraftStep, Output, StepContext


@dataclass(frozen=True)
class ImportBaseContainer:
    """Keep the layers and the configuration of a base container for the steps that read them.

    Attributes:
        source: The archive or image layout.
        reference: Which image in it.
    """

    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 1

    source: Source
    reference: str | None = None

    def run(self, context: StepContext) -> None:
        """Check it and bring it into one form."""
        import_base(self.source.path, self.reference, context.output())


@dataclass(frozen=True)
class UnpackBaseContainer:
    """Unpack the layers of the base container into the empty tree."""

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        """Unpack them."""
        base = read_base(context.inputs[BASE_CONTAINER])
        unpack_base(base, context.root, context.progress)


def plan_base_container(
    source: Source, reference: str | None = None, tree: str = "base"
) -> tuple[DraftStep, DraftStep]:
    """The steps that start a root tree from a base container.

    Args:
        source: The archive, as :func:`kiwinb.create.container_base.local_archive` finds it.
        reference: Which image in it.
        tree: Name for the step that leaves the tree.
    """
    return (
        DraftStep(
            BASE_CONTAINER, "Import the base container", ImportBaseContainer(source, reference)
        ),
        DraftStep(
            tree, "Unpack the base container", UnpackBaseContainer(), needs=(BASE_CONTAINER,)
        ),
    )
