"""The protocol that every image kind implements, and the plan that it returns."""

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
        tag: KIWI NG's name for the file in the result file, such as ``disk_image``.
        step: Name of the ``files`` step whose output directory holds the file.
        filename: File name, both there and in the target directory.
        use_for_bundle: Whether ``kiwinb result bundle`` includes the file.
        compress: Whether ``kiwinb result bundle`` compresses the file.
        shasum: Whether the file gets a checksum file.
    """

    tag: str
    step: str
    filename: str
    use_for_bundle: bool = True
    compress: bool = False
    shasum: bool = True


@dataclass(frozen=True)
class ImagePlan:
    """Steps that make an image from a root tree.

    Attributes:
        steps: The steps.
        results: Files of these steps that the build delivers.
    """

    steps: tuple[DraftStep, ...]
    results: tuple[ResultFile, ...]


Form = Literal["disk", "medium", "container", "files", "archive"]
"""A disk with partitions, a medium such as an ISO image, a container, a single file system, or an
archive of the tree."""


@dataclass(frozen=True)
class Refusal:
    """Something that a description asks for and a plug-in does not support.

    Attributes:
        what: What is wrong, in one sentence.
        remedy: What the user can do about it.
        path: Path of the element below ``<image>``, such as ``preferences/type/oemconfig``.
    """

    what: str
    remedy: str
    path: str = "preferences/type"


class ImageKind(Protocol):
    """A kind of image, selected by the ``image`` attribute of a ``<type>``.

    Each kind is one module, registered in ``kiwinb.images``.
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
        """General form of the image, such as a disk or an archive."""
        ...

    @property
    def boots(self) -> bool:
        """Whether the image starts its own kernel, and so needs an initrd."""
        ...

    @property
    def honours(self) -> frozenset[str]:
        """The attributes and child elements of ``<type>`` that affect the image."""
        ...

    def tools(self, image: ImageDescription) -> Mapping[str, str]:
        """Programs of the host that making the image needs, each with its purpose."""
        ...

    def refusals(self, image: ImageDescription) -> Iterator[Refusal]:
        """Yield what the description asks for and this kind does not support.

        This function is pure.
        """
        ...

    def variables(self, image: ImageDescription) -> Mapping[str, object]:
        """Script variables that only this kind sets, by KIWI NG's names for them."""
        ...

    def lacks(self, image: ImageDescription) -> Iterator[str]:
        """Yield what the programs of this host cannot do for the image, one sentence each.

        It may run the programs to find out; all of them have to be installed.
        """
        ...

    def host_directories(self, image: ImageDescription) -> Mapping[str, HostDirectory]:
        """Directories of the host that the image may take files from, by purpose."""
        ...

    def plan(self, image: ImageDescription, inputs: BuildInputs, tree: str) -> ImagePlan:
        """Plan the steps that make the image.

        This function is pure.

        Args:
            image: The effective description.
            inputs: Everything else that the build reads.
            tree: Name of the step whose result is the prepared root tree, the ``base`` of steps.

        Raises:
            ImageError: This kind does not support what the description asks for.
        """
        ...


class Plain:
    """Defaults for image kinds that refuse nothing and need nothing special of the host."""

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
