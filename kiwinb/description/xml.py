"""Read a description as XML in bounded memory, without the network or entities.

lxml knows the lines of elements. The attribute ``xml:base`` of the root, and of each element that
came from an ``<include>``, holds the file of the element, so that it survives copies.
"""

from __future__ import annotations

import logging
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from xml.parsers import expat

from lxml import etree

from kiwinb.description.markup import SUFFIXES, as_xml
from kiwinb.errors import DescriptionError, Location
from kiwinb.spelling import shortened
from kiwinb.visible import visible

log = logging.getLogger(__name__)

MAX_BYTES = 8 * 1024 * 1024
"""The maximum size of a file, and of a description with all its includes."""

_MOST_ATTRIBUTES = 500
"""Attributes of an element; lxml takes a time that grows with their square."""

BASE = "{http://www.w3.org/XML/1998/namespace}base"


def find_description(directory: Path, kiwi_file: str | None = None) -> Path:
    """The description file of a directory.

    It is ``config.xml``, or else ``image/config.xml``, the first ``*.kiwi`` file by name,
    ``config.yaml`` or a ``*.kiwi.yaml`` file; likewise for TOML and JSON.

    Args:
        directory: The description directory.
        kiwi_file: Name of the file, if the user chose one.

    Raises:
        DescriptionError: There is no such file.
    """
    if not directory.is_dir():
        raise DescriptionError(
            "there is no such description directory",
            remedy="Name a directory that holds config.xml or one *.kiwi file.",
            location=Location(Path(display(directory))),
        )
    if kiwi_file is not None:
        return directory / kiwi_file
    for config in (directory / "config.xml", directory / "image" / "config.xml"):
        if config.exists():
            return config
    found = sorted(directory.glob("*.kiwi")) or [
        path
        for suffix in SUFFIXES
        for path in (directory / f"config{suffix}", *sorted(directory.glob(f"*.kiwi{suffix}")))
        if path.exists()
    ]
    if len(found) > 1:
        first, *others = (display(path.name) for path in found)
        log.warning(
            "%s: reading %s, and not %s; --kiwi-file chooses another",
            display(directory),
            first,
            ", ".join(others),
        )
    if found:
        return found[0]
    raise DescriptionError(
        "the directory has no description",
        remedy="Put a config.xml or one *.kiwi file there.",
        location=Location(Path(display(directory))),
    )


def read_xml(path: Path, *, most: int = MAX_BYTES) -> etree._ElementTree:
    """Read a file in XML, YAML, TOML or JSON.

    The attribute ``xml:base`` of the root holds the name of the file.

    Args:
        path: The file.
        most: Maximum size in bytes.

    Raises:
        DescriptionError: The file cannot be read, is too large, is not well-formed, or declares a
            document type.
    """
    name = Path(display(path))
    written = _read_bytes(path, name, most)
    data = as_xml(written, name)
    _refuse_document_type(data, name)
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, dtd_validation=False, no_network=True
    )
    try:
        root = etree.fromstring(data, parser, base_url=str(name))
    except etree.XMLSyntaxError as error:
        raise _syntax_error(error, name, written, data) from None
    except (LookupError, ValueError) as error:
        raise DescriptionError(
            f"this cannot be read as XML: {error}",
            remedy="Save the file as UTF-8.",
            location=Location(name, 1),
        ) from None
    if next(cast(Iterator[object], root.iter(etree.Entity)), None) is not None:
        raise _entity_error(name, 1)
    for element in elements(root):
        if len(element.attrib) > _MOST_ATTRIBUTES:
            raise DescriptionError(
                f"the element has more than {_MOST_ATTRIBUTES} attributes",
                remedy="Remove those that are not part of a description.",
                location=Location(name, _line(element), None, shortened(tag(element))),
            )
        if element.get(BASE) is not None:
            raise DescriptionError(
                "the attribute xml:base is not part of a description",
                remedy="Remove it.",
                location=Location(name, _line(element), None, shortened(tag(element))),
            )
    _join_texts(root)
    root.set(BASE, str(name))
    return root.getroottree()


def _join_texts(root: etree._Element) -> None:
    """Drop comments in texts, so that an element has its whole text in one piece."""
    for comment in [*root.iter(etree.Comment), *root.iter(etree.ProcessingInstruction)]:
        parent = comment.getparent()
        if parent is not None and next(children(parent), None) is None:
            parts = [parent.text, *(child.tail for child in parent)]
            for child in list(parent):
                parent.remove(child)
            parent.text = "".join(part for part in parts if part) or None


def elements(root: etree._Element) -> Iterator[etree._Element]:
    """The element and all its descendants in document order, without comments and the like."""
    return root.iter(etree.Element)


def children(element: etree._Element) -> Iterator[etree._Element]:
    """The child elements, without comments and the like."""
    return (child for child in element if isinstance(child.tag, str))


def tag(element: etree._Element) -> str:
    """The name of an element as written, with its prefix if it has a namespace."""
    name = etree.QName(element).localname
    return f"{element.prefix}:{name}" if element.prefix else name


def location(element: etree._Element) -> Location:
    """The location of an element: its file (which may be an included one), line and name."""
    base = next(
        (base for node in (element, *element.iterancestors()) if (base := node.get(BASE))),
        element.getroottree().docinfo.URL or "config.xml",
    )
    line = next(filter(None, map(_line, (element, *element.iterancestors()))), None)
    return Location(Path(base), line, None, shortened(tag(element)))


def display(path: Path | str) -> str:
    """A path as text that can be printed and put into XML, whatever bytes it contains."""
    return visible(str(path))


def _line(element: etree._Element) -> int | None:
    return cast("int | None", element.sourceline)


def _read_bytes(path: Path, name: Path, most: int) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DescriptionError(
                "this is not a regular file",
                remedy="Name an XML file.",
                location=Location(name),
            )
        with path.open("rb") as file:
            data = file.read(most + 1)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise DescriptionError(
            f"the file cannot be read: {said}",
            remedy="Check that it exists and that you may read it.",
            location=Location(name),
        ) from None
    if len(data) > most:
        raise DescriptionError(
            f"the file is too large: a description has at most {MAX_BYTES // 2**20} MiB, "
            "includes counted",
            remedy="Put files that belong into the image into the overlay tree root/ or an "
            "archive.",
            location=Location(name),
        )
    if not data.strip():
        raise DescriptionError(
            "the file is empty",
            remedy="Write a description into it: its root element is <image>.",
            location=Location(name, 1),
        )
    return data


def _syntax_error(
    error: etree.XMLSyntaxError, name: Path, written: bytes, data: bytes
) -> DescriptionError:
    said = re.sub(r", line \d+, column \d+.*", "", str(error.msg), flags=re.DOTALL)
    said = shortened(" ".join(said.split()))
    line = error.lineno or 1
    if data is not written:
        return DescriptionError(
            f"this cannot be an element of a description: {said}",
            remedy="Correct the name.",
            location=Location(name, line),
        )
    remedy = "Save the file as UTF-8."
    if data.lstrip().startswith(b"<"):
        remedy = (
            "Correct it there or shortly before: close each tag that was opened, quote attribute "
            "values, write & as &amp; and < as &lt;, save the file as UTF-8."
        )
    return DescriptionError(
        f"this is not well-formed XML: {said}",
        remedy=remedy,
        location=Location(name, line, error.offset or None),
    )


def _entity_error(name: Path, line: int | None) -> DescriptionError:
    return DescriptionError(
        "a description declares no document type and no entities",
        remedy="Remove <!DOCTYPE …> and write out what its entities stand for.",
        location=Location(name, line),
    )


def _refuse_document_type(data: bytes, name: Path) -> None:
    """Stop at a DOCTYPE that declares anything, before any of it is expanded."""
    parser = expat.ParserCreate()

    def doctype(_name: str, system: str | None, public: str | None, internal: bool) -> None:
        if system or public or internal:
            raise _entity_error(name, parser.CurrentLineNumber)

    def root_reached(_name: str, _attributes: object) -> None:
        raise StopIteration

    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = root_reached
    try:
        parser.Parse(data, True)
    except (StopIteration, expat.ExpatError, LookupError, ValueError):
        return  # the root is reached; lxml reports any further errors
