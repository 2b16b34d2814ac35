"""Parse the texts of elements and attributes into values."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar, get_type_hints

from lxml import etree

from kiwinb.description.model import BuildType

Element = etree._Element
T = TypeVar("T")


def arch_matches(element: Element, arch: str) -> bool:
    """Whether an element applies to an architecture, according to its ``arch`` attribute."""
    names = split_names(element.get("arch"))
    return not names or arch in names or ("ix86" in names and bool(re.fullmatch("i[3-6]86", arch)))


def text_of(element: Element | None) -> str:
    """The text of an element; empty if there is no element."""
    return (element.text or "").strip() if element is not None else ""


def split_names(text: str | None) -> tuple[str, ...]:
    """The items of a comma-separated list."""
    return tuple(item for part in (text or "").split(",") if (item := part.strip()))


def names_of(element: Element, path: str, attribute: str = "name") -> tuple[str, ...]:
    """An attribute of each element at the path."""
    return tuple(item.get(attribute, "") for item in element.iterfind(path))


def items_for(section: Element, name: str, arch: str) -> Iterator[Element]:
    """The children of a name that apply to an architecture."""
    return (item for item in section.iterchildren(name) if arch_matches(item, arch))


def unique(values: Iterable[T]) -> tuple[T, ...]:
    """The values in order, without duplicates."""
    return tuple(dict.fromkeys(values))


def boolean(text: str | None) -> bool:
    """Parse a boolean."""
    return (text or "").strip().lower() in ("true", "1")


_CONVERT: dict[Any, Callable[[str], Any]] = {
    str: str,
    str | None: str,
    int: int,
    int | None: int,
    bool: boolean,
    bool | None: boolean,
}


@cache
def _scalars(cls: type) -> dict[str, Callable[[str], Any]]:
    """The fields of a model class that hold a plain value, each with its parser."""
    hints = get_type_hints(cls)
    return {
        item.name: _CONVERT[hints[item.name]]
        for item in fields(cls)
        if hints[item.name] in _CONVERT
    }


def plain_values(cls: type, written: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The plain fields of a class among the given names and texts, parsed."""
    known = _scalars(cls)
    return {name: known[name](text) for name, text in written if name in known}


def attribute_values(cls: type, element: Element) -> dict[str, Any]:
    """The plain fields of a class among the attributes of an element, parsed."""
    return plain_values(cls, ((str(name), str(text)) for name, text in element.attrib.items()))


def convert_attribute(name: str, text: str) -> Any:
    """The value of the field of :class:`BuildType` for an attribute of ``<type>``.

    Raises:
        KeyError: The attribute has no field; only ``attributes`` has it.
        ValueError: The text does not have the type of the field.
    """
    if name in LISTS:
        return LISTS[name](text)
    converter = _scalars(BuildType)[name]
    if converter is boolean and text.strip().lower() not in ("true", "false", "1", "0"):
        raise ValueError(text)
    return converter(text)


def _split_words(text: str) -> tuple[str, ...]:
    return tuple(shlex.split(text))


LISTS: dict[str, Callable[[str], tuple[str, ...]]] = {
    "efimountoptions": split_names,
    "formatoptions": split_names,
    "fscreateoptions": _split_words,
    "fsmountoptions": split_names,
    "spare_part_fs_attributes": split_names,
}
