"""What every image kind offers to a build."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from kiwinb.bootloader.host import HostDirectory
from kiwinb.description.model import ImageDescription
from kiwinb.images.inputs import BuildInputs
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


Form = Literal["disk", "medium", "container", "files", "archive"]
"""A disk with partitions, a medium such as an ISO image, a container, one file system, or a
packed tree."""


@dataclass(frozen=True)
class Refusal:
    """Why a description asks for what a plug-in does not make.

    Attributes:
        what: What is wrong, in one sentence.
        remedy: What to do about it.
        path: The element that says so, below ``<image>``: ``preferences/type/oemconfig``.
    """

    what: str
    remedy: str
    path: str = "preferences/type"


class ImageKind(Protocol):
    """One kind of image: what the ``image`` attribute of a ``<type>`` names.

    Each is one module, registered in ``kiwinb.images``.
    """

    @property
    def name(self) -> str:
        """The value of the ``image`` attribute."""
        ...

    @property
    def revision(self) -> int:
        """See :class:`~kiwinb.steps.registry.Plugin`."""
        ...

    @property
    def form(self) -> Form:
        """What the image is, whatever it is called."""
        ...

    @property
    def boots(self) -> bool:
        """Whether it starts a kernel of its own, and so needs an initrd."""
        ...

    @property
    def honours(self) -> frozenset[str]:
        """The attributes of ``<type>``, and its child elements, that change what is made."""
        ...

    def tools(self, image: ImageDescription) -> Mapping[str, str]:
        """The tools of the host that making the image calls, and what for."""
        ...

    def refusals(self, image: ImageDescription) -> Iterator[Refusal]:
        """What the description asks of this kind that is not made; pure."""
        ...

    def variables(self, image: ImageDescription) -> Mapping[str, object]:
        """Variables of scripts that only this kind has, by KIWI NG's names."""
        ...

    def lacks(self, image: ImageDescription) -> Iterator[str]:
        """What the tools of this host cannot do for the image, one sentence each.

        They are all installed, and are asked what they know.
        """
        ...

    def host_directories(self, image: ImageDescription) -> Mapping[str, HostDirectory]:
        """Directories of the host that files of the image may come from, by their purpose."""
        ...

    def plan(self, image: ImageDescription, inputs: BuildInputs, tree: str) -> ImagePlan:
        """Plan the image; pure.

        Args:
            image: The effective description.
            inputs: What the build reads besides.
            tree: Name of the step that leaves the prepared root tree; steps name it as ``base``.

        Raises:
            ImageError: The description asks for what this kind cannot be.
        """
        ...


class Plain:
    """What most image kinds answer: they refuse nothing and need nothing special of the host."""

    def refusals(self, image: ImageDescription) -> Iterator[Refusal]:
        """See :class:`ImageKind`."""
        yield from ()

    def variables(self, image: ImageDescription) -> Mapping[str, object]:
        """See :class:`ImageKind`."""
        return {}

    def lacks(self, image: ImageDescription) -> Iterator[str]:
        """See :class:`ImageKind`."""
        yield from ()

    def host_directories(self, image: ImageDescription) -> Mapping[str, HostDirectory]:
        """See :class:`ImageKind`."""
        return {}
