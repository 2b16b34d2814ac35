"""The data that checks receive, and the problems that they find."""

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
    """A reason why an image cannot be built as described, or not on this host.

    Attributes:
        what: What is wrong, in one sentence.
        remedy: What the user can do about it.
        location: File, line and element.
        check: Name of the check that found it.
    """

    what: str
    remedy: str
    location: Location
    check: str = ""

    def __str__(self) -> str:
        return f"{self.location}: {self.what} [{self.check}]\n  {self.remedy}"

    def found_by(self, check: str) -> Problem:
        """Return this problem with the name of its check."""
        return replace(self, check=check)


@dataclass(frozen=True)
class Subject:
    """The data to check.

    Attributes:
        image: The effective description.
        document: The whole description, including other profiles and types.
        tree: The document reduced to the effective description, with line numbers.
        host: Facts about this host.
        boot_image: Description of the boot image of a ``kiwi`` initrd, if it can be read.
    """

    image: ImageDescription
    document: Document
    tree: etree._ElementTree
    host: HostFacts
    boot_image: ImageDescription | None = None

    @property
    def kind(self) -> ImageKind | None:
        """The image kind; ``None`` if kiwinb does not support it."""
        return IMAGE_KINDS.get(self.image.type.image)

    def is_a(self, form: Form) -> bool:
        """Tell whether the image has a form."""
        return self.kind is not None and self.kind.form == form

    def elements(self, path: str) -> Iterator[etree._Element]:
        """Yield the elements of the effective description at a path below ``<image>``."""
        return self.tree.getroot().iterfind(path)

    def at(self, path: str, /, **attributes: str | None) -> Location:
        """Find the location of an element in the description.

        Args:
            path: Path of the element below ``<image>``.
            attributes: Attributes of the element, if there may be several elements.

        Returns:
            The location of the element, or of its nearest ancestor if it does not exist.
        """
        while path:
            for element in self.elements(path):
                if all(element.get(name) == value for name, value in attributes.items()):
                    return location(element)
            path, attributes = path.rpartition("/")[0], {}
        return location(self.tree.getroot())

    @property
    def type(self) -> Location:
        """Location of the selected ``<type>``."""
        return self.at("preferences/type")

    @property
    def packages(self) -> frozenset[str]:
        """Names of the packages that the description installs."""
        named = self.image.packages
        return frozenset((*named.bootstrap.packages, *named.image.packages))


class CheckErrors(CheckError):
    """All problems that the checks found.

    Args:
        problems: The problems, at least one.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)
