"""Start the root tree from a base container (``derived_from``)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from kiwinb.description.fingerprint import FingerprintCache, fingerprint
from kiwinb.description.model import ImageDescription
from kiwinb.images.container.base import (
    BASE_CONTAINER,
    import_base,
    local_archive,
    read_base,
    unpack_base,
)
from kiwinb.steps.keys import Source
from kiwinb.steps.step import DraftStep, Output, StepContext

BASE_TREE = "base"
"""Name of the step that makes the tree of the base container."""


@dataclass(frozen=True)
class ImportBaseContainer:
    """Keep the layers and the configuration of a base container for the steps that read them.

    Attributes:
        source: The archive or image layout.
        arch: Architecture of the image to take from it, as ``uname -m`` prints it.
        reference: Reference of the image to take from it.
    """

    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 2

    source: Source
    arch: str
    reference: str | None = None

    def run(self, context: StepContext) -> None:
        """Check the base container and convert it to the form that :func:`read_base` reads."""
        import_base(self.source.path, self.reference, self.arch, context.output())


@dataclass(frozen=True)
class UnpackBaseContainer:
    """Unpack the layers of the base container into the empty tree."""

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 2

    def run(self, context: StepContext) -> None:
        """Unpack the layers."""
        base = read_base(context.inputs[BASE_CONTAINER])
        unpack_base(base, context.root, context.progress)


def find_base_container(
    image: ImageDescription, cache_dir: Path | None = None
) -> ImportBaseContainer | None:
    """Find and fingerprint the base container that a description names; ``None`` if there is none.

    Args:
        image: The effective description.
        cache_dir: Directory for a cache of the digests of unchanged files.

    Raises:
        RepositoryError: The base container is not a local file, or does not exist.
        DescriptionError: The base container cannot be read.
    """
    if image.type.derived_from is None:
        return None
    path, reference = local_archive(image.type.derived_from, image.directory)
    path = path.absolute()
    with FingerprintCache(cache_dir / "fingerprints.sqlite" if cache_dir else None) as cache:
        return ImportBaseContainer(Source(fingerprint(path, cache), path), image.arch, reference)


def plan_base_container(base: ImportBaseContainer) -> tuple[DraftStep, ...]:
    """Plan the steps that start a root tree from a base container.

    Args:
        base: Action of the first step.
    """
    return (
        plan_import(base),
        DraftStep(
            BASE_TREE, "Unpack the base container", UnpackBaseContainer(), needs=(BASE_CONTAINER,)
        ),
    )


def plan_import(base: ImportBaseContainer) -> DraftStep:
    """Plan the step that imports the base container for other steps."""
    return DraftStep(BASE_CONTAINER, "Import the base container", base)
