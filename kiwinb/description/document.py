"""Read an image description into one valid document of the current schema version."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lxml import etree

from kiwinb.description.canonical import canonical
from kiwinb.description.placement import misplaced
from kiwinb.description.upgrade import CURRENT, Change, upgrade
from kiwinb.description.validate import MOST_ERRORS, validate
from kiwinb.description.xml import (
    BASE,
    MAX_BYTES,
    children,
    display,
    find_description,
    location,
    read_xml,
    tag,
)
from kiwinb.errors import DescriptionError, DescriptionErrors
from kiwinb.spelling import shortened

__all__ = ["Document", "location", "read"]

MAX_DEPTH = 16
"""How deeply includes may nest."""


MAX_INCLUDES = 500
"""How many files a description may include, counting a file each time that it is included."""


@dataclass(frozen=True)
class Document:
    """A description, as read from its files.

    Attributes:
        directory: The description directory.
        file: The description file.
        tree: The document: valid, of schema version 8.5, with includes resolved, and values in
            their canonical spelling.
        changes: What the upgrade changed.
        source_version: The schema version that the file was written for.
        files: All files that were read: ``file`` and those that it includes.
    """

    directory: Path
    file: Path
    tree: etree._ElementTree
    changes: tuple[Change, ...]
    source_version: str
    files: tuple[Path, ...]


def read(path: Path, *, kiwi_file: str | None = None) -> Document:
    """Read, upgrade and validate a description.

    Args:
        path: The description directory, or the description file itself.
        kiwi_file: Name of the description file in the directory.

    Raises:
        DescriptionError: The description cannot be read or upgraded, or is invalid. If several
            things are invalid, DescriptionErrors reports all of them.
    """
    file = path if path.is_file() else find_description(path, kiwi_file)
    reader = _Reader(file.parent)
    tree = read_xml(file)
    root = tree.getroot()
    version = root.get("schemaversion")
    reader.take(root, file, version=None, stack=())
    root.set("schemaversion", CURRENT)
    validate(tree)
    canonical(root)
    if errors := list(islice(misplaced(root), MOST_ERRORS)):
        raise DescriptionErrors(errors)
    assert version is not None, "what has no version was refused"
    return Document(
        directory=file.parent,
        file=file,
        tree=tree,
        changes=tuple(reader.changes),
        source_version=version,
        files=tuple(dict.fromkeys(reader.files)),
    )


class _Reader:
    """Upgrades a file and resolves its includes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bytes_left = MAX_BYTES
        self.changes: list[Change] = []
        self.files: list[Path] = []

    def take(
        self, root: etree._Element, file: Path, version: str | None, stack: tuple[Path, ...]
    ) -> None:
        self.files.append(file)
        self.bytes_left -= file.stat().st_size
        if root.tag != "image":
            raise _not_an_image(root)
        version = root.get("schemaversion", version)
        if version is None:
            raise DescriptionError(
                "the attribute schemaversion is missing",
                remedy=f'Write <image schemaversion="{CURRENT}" name="…">.',
                location=location(root),
            )
        self.changes += upgrade(root, version)
        for include in [child for child in children(root) if child.tag == "include"]:
            self.resolve(include, version, (*stack, file.resolve()))

    def resolve(self, include: etree._Element, version: str, stack: tuple[Path, ...]) -> None:
        where = location(include)
        file = self.included_file(include, stack[-1])
        if os.path.realpath(file) in map(str, stack):
            raise DescriptionError(
                f"{shortened(display(file))} includes itself",
                remedy="Break the cycle.",
                location=where,
            )
        if len(stack) > MAX_DEPTH:
            raise DescriptionError(
                f"includes are nested more than {MAX_DEPTH} deep",
                remedy="Include the files from the description itself.",
                location=where,
            )
        if len(self.files) > MAX_INCLUDES:
            raise DescriptionError(
                f"the description includes more than {MAX_INCLUDES} files",
                remedy="Put their sections into fewer files, and include each file once.",
                location=where,
            )
        if not _is_there(file, Path.is_file):
            raise DescriptionError(
                f"the included file {shortened(display(file))} does not exist",
                remedy="Names are relative to the description directory; file:///… is absolute.",
                location=where,
            )
        root = read_xml(file, most=self.bytes_left).getroot()
        self.take(root, file, version, stack)
        base = root.get(BASE, "")
        parent = include.getparent()
        assert parent is not None, "an <include> is taken from its <image>"
        for child in list(children(root)):
            if child.get(BASE) is None:
                child.set(BASE, base)
            include.addprevious(child)
        parent.remove(include)

    def included_file(self, include: etree._Element, includer: Path) -> Path:
        """The file to include: in the description directory, or else beside the includer."""
        source = include.get("from")
        if not source:
            raise DescriptionError(
                "the attribute from is missing",
                remedy='Name the file to include: <include from="file://other.xml"/>.',
                location=location(include),
            )
        scheme = source.partition("://")[0] if "://" in source else ""
        if scheme not in ("", "file", "this"):
            raise DescriptionError(
                f"cannot include {shortened(source)!r}: only local files can be included",
                remedy="Use file://NAME, this://NAME or NAME, relative to the description "
                "directory, or file:///ABSOLUTE/NAME.",
                location=location(include),
            )
        name = source.partition("://")[2] if scheme else source
        if scheme == "this":
            name = name.lstrip("/")
        for place in (self.directory, includer.parent):
            if _is_there(place / name, Path.exists):
                return place / name
        return self.directory / name


def _is_there(path: Path, test: Callable[[Path], bool]) -> bool:
    try:
        return test(path)
    except OSError:  # the name is too long
        return False


def _not_an_image(root: etree._Element) -> DescriptionError:
    name = etree.QName(root)
    if name.localname == "image" and name.namespace is not None:
        prefix = f":{root.prefix}" if root.prefix else ""
        return DescriptionError(
            f"the element <{tag(root)}> is in the namespace {shortened(name.namespace)}",
            remedy=f"Remove xmlns{prefix}=…: a description has no namespace.",
            location=location(root),
        )
    return DescriptionError(
        f"the root element is <{shortened(tag(root))}>, not <image>",
        remedy="Put the sections into an <image> element.",
        location=location(root),
    )
