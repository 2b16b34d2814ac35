"""What checks are given, and what they find."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lxml import etree

from kiwinb.checks.host import HostFacts
from kiwinb.description.document import Document, location
from kiwinb.description.model import ImageDescription
from kiwinb.errors import CheckError, Location
from kiwinb.images import IMAGE_KINDS
from kiwinb.images.kind import Form, ImageKind


@dataclass(frozen=True)
class Problem:
    """Why an image cannot be built as it is described, or not here.

    Attributes:
        what: What is wrong, in one sentence.
        remedy: What to do about it.
        location: File, line and element that it is about.
        check: Name of the check that found it.
    """

    what: str
    remedy: str
    location: Location
    check: str = ""

    def __str__(self) -> str:
        return f"{self.location}: {self.what} [{self.check}]\n  {self.remedy}"

    def found_by(self, check: str) -> Problem:
        """The same, with the name of its check."""
        return replace(self, check=check)


@dataclass(frozen=True)
class Subject:
    """What is checked.

    Attributes:
        image: The description as this build sees it.
        document: The whole description, other profiles and types included.
        tree: The document with nothing but what the image is made of; has the line numbers.
        host: What is known of this host.
        boot_image: The boot image that a ``kiwi`` initrd is built from, if it can be read.
    """

    image: ImageDescription
    document: Document
    tree: etree._ElementTree
    host: HostFacts
    boot_image: ImageDescription | None = None

    @property
    def kind(self) -> ImageKind | None:
        """The kind of image; ``None`` for one that kiwinb does not make."""
        return IMAGE_KINDS.get(self.image.type.image)

    def is_a(self, form: Form) -> bool:
        """Whether the image is of that form."""
        return self.kind is not None and self.kind.form == form

    def elements(self, path: str) -> Iterator[etree._Element]:
        """The elements of the effective description at a path below ``<image>``."""
        return self.tree.getroot().iterfind(path)

    def at(self, path: str, /, **attributes: str | None) -> Location:
        """Where the description says something.

        Args:
            path: Of the element, below ``<image>``.
            attributes: What its attributes are, when there may be several.

        Returns:
            The place of the element; that of the nearest element around it when it is not there.
        """
        while path:
            for element in self.elements(path):
                if all(element.get(name) == value for name, value in attributes.items()):
                    return location(element)
            path, attributes = path.rpartition("/")[0], {}
        return location(self.tree.getroot())

    @property
    def type(self) -> Location:
        """Where the selected ``<type>`` is."""
        return self.at("preferences/type")

    @property
    def packages(self) -> frozenset[str]:
        """Names of the packages that the description installs."""
        named = self.image.packages
        return frozenset((*named.bootstrap.packages, *named.image.packages))


class CheckErrors(CheckError):
    """What the checks found, all of it at once.

    Args:
        problems: At least one.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)
