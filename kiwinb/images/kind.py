"""What every image kind offers to a build."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kiwinb.description.model import ImageDescription
from kiwinb.steps.step import DraftStep


@dataclass(frozen=True)
class ResultFile:
    """A file that a build delivers into the target directory.

    Attributes:
        tag: KIWI NG's name for it in the result file: ``disk_image``, ``image_packages`` …
        step: Name of the ``files`` step whose output directory holds it.
        filename: Its name there and in the target directory.
        use_for_bundle: ``kiwinb result bundle`` takes it along.
        compress: ``kiwinb result bundle`` compresses it.
        shasum: ``kiwinb result bundle`` writes a checksum for it.
    """

    tag: str
    step: str
    filename: str
    use_for_bundle: bool = True
    compress: bool = False
    shasum: bool = True


@dataclass(frozen=True)
class ImagePlan:
    """The steps that make an image from a root tree, and which of their files are the result."""

    steps: tuple[DraftStep, ...]
    results: tuple[ResultFile, ...]


class ImageKind(Protocol):
    """One kind of image, registered in ``kiwinb.images`` under its ``image`` attributes."""

    def plan(self, image: ImageDescription, tree: str, epoch: int = 0) -> ImagePlan:
        """Plan the image; pure.

        Args:
            image: The effective description.
            tree: Name of the step that leaves the prepared root tree; steps name it as ``base``.
            epoch: ``RepositoryState.epoch``: the time of all that carries one, in seconds since
                1970-01-01 UTC.

        Raises:
            ImageError: The description asks for what this kind cannot be.
        """
        ...
