"""Mutants of descriptions: one change each, and the lines that an error about it may name."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import cast

from lxml import etree

Element = etree._Element

ODD = (
    *("", " ", "true", "-1", "1e9", "9" * 20, "1_000", "\u0663", "0x10", "+1", "007", "None"),
    *("\N{SNOWMAN}", "a" * 5000, "a b", "x,,y,", ",", "../..", "/", "a\nb", "%", "&<>\"'", "$(id)"),
    *("image", "oem", "ture", "1.0/2", "://", "this://", "\u202e", "{}", "@", "'", "-x"),
)
SYNTAX = (
    *("<", ">", "&", "&nosuch;", "]]>", '"', "'", "\0", "\x01", "\t"),
    *("{", "}", "[", "]", ":", "-", "*x", "=", "#", "%", "|", "!!int "),
)
ENCODINGS = ("utf-16", "utf-16-le", "latin-1", "utf-7", "utf-32", "utf-8-sig", "cp037")
VERSIONS = ("", "8", "8.6", "7.3", "7.45", "99.9", "eight", "8.5.1", " 8.5 ", "-1", "9" * 400)
TEXT_CHANGES = ("cut", "insert", "gone", "again", "indent", "key", "encoding", "bytes", "long")


@dataclass(frozen=True)
class Mutant:
    """A changed file.

    Attributes:
        what: The kind of the change.
        data: The content.
        lines: The lines that an error may name; ``None`` if any line of the file.
    """

    what: str
    data: bytes
    lines: frozenset[int] | None = None


def mutant(data: bytes, chance: random.Random) -> Mutant:
    """A mutant of a file."""
    if not _is_xml(data) or chance.random() < 0.15:
        return _of_text(data, chance)
    return _of_tree(data, chance)


def _is_xml(data: bytes) -> bool:
    return data.lstrip().startswith(b"<") or data.startswith(b"\xff\xfe")


def _typo(word: str, chance: random.Random) -> str:
    at = chance.randrange(len(word))
    return word[:at] + chance.choice("xqz") + word[at + chance.randint(0, 1) :]


def _of_tree(data: bytes, chance: random.Random) -> Mutant:
    root = etree.fromstring(data)
    tree = root.getroottree()
    element = chance.choice(list(root.iter("*")))
    what = chance.choice(list(_CHANGES))
    touched = [*_CHANGES[what](element, chance)]
    order = list(root.iter("*"))
    places = [order.index(item) for item in touched if item in order]
    text = etree.tostring(tree, encoding="utf-8", xml_declaration=True)
    again = list(etree.fromstring(text).iter("*"))
    lines = {
        cast("int", relative.sourceline or 1)
        for place in places
        for relative in (again[place], *again[place].iterancestors(), *again[place].iter("*"))
    }
    return Mutant(what, text, frozenset(lines) or None)


def _delete(element: Element, chance: random.Random) -> Iterable[Element]:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)
        yield parent


def _double(element: Element, chance: random.Random) -> Iterable[Element]:
    parent = element.getparent()
    if parent is not None:
        copy = etree.fromstring(etree.tostring(element, with_tail=False))
        element.addnext(copy)
        yield copy


def _rename(element: Element, chance: random.Random) -> Iterable[Element]:
    names = ("package", "type", "Image", "x" * 3000, _typo(etree.QName(element).localname, chance))
    element.tag = chance.choice(names)
    yield element


def _namespace(element: Element, chance: random.Random) -> Iterable[Element]:
    for item in (element, *(element.iter("*") if chance.random() < 0.5 else ())):
        item.tag = f"{{urn:other}}{etree.QName(item).localname}"
    yield element


def _swap(element: Element, chance: random.Random) -> Iterable[Element]:
    """The element goes around its parent."""
    parent = element.getparent()
    above = parent.getparent() if parent is not None else None
    if parent is not None and above is not None:
        above.replace(parent, element)
        element.append(parent)
        yield element


def _move(element: Element, chance: random.Random) -> Iterable[Element]:
    others = list(element.getroottree().getroot().iter("*"))
    target = chance.choice(others)
    parent = element.getparent()
    if parent is not None and element not in (target, *target.iterancestors()):
        target.append(element)
        yield from (element, parent)


def _without(element: Element, chance: random.Random) -> Iterable[Element]:
    if element.attrib:
        del element.attrib[chance.choice(list(element.attrib))]
    yield element


def _misspell(element: Element, chance: random.Random) -> Iterable[Element]:
    if element.attrib:
        name = str(chance.choice(list(element.attrib)))
        value = element.attrib.pop(name)
        element.set(_typo(etree.QName(name).localname, chance), value)
    yield element


def _add(element: Element, chance: random.Random) -> Iterable[Element]:
    names = ("arch", "profiles", "name", "type", "image", "value", "{urn:other}name", "y" * 3000)
    element.set(chance.choice(names), chance.choice(ODD))
    yield element


def _value(element: Element, chance: random.Random) -> Iterable[Element]:
    if element.attrib:
        element.set(chance.choice(list(element.attrib)), chance.choice(ODD))
    yield element


def _text(element: Element, chance: random.Random) -> Iterable[Element]:
    element.text = chance.choice(ODD)
    yield element


def _version(element: Element, chance: random.Random) -> Iterable[Element]:
    root = element.getroottree().getroot()
    root.set("schemaversion", chance.choice(VERSIONS))
    yield root


def _include(element: Element, chance: random.Random) -> Iterable[Element]:
    names = ("config.xml", "this://nothing.xml", ".", "https://example.org/a.xml", "", "a" * 5000)
    root = element.getroottree().getroot()
    new = etree.SubElement(root, "include", {"from": chance.choice(names)})
    yield new


_CHANGES: dict[str, Callable[[Element, random.Random], Iterable[Element]]] = {
    "delete": _delete,
    "double": _double,
    "rename": _rename,
    "namespace": _namespace,
    "swap": _swap,
    "move": _move,
    "without": _without,
    "misspell": _misspell,
    "add": _add,
    "value": _value,
    "text": _text,
    "version": _version,
    "include": _include,
}


def _of_text(data: bytes, chance: random.Random) -> Mutant:
    text = data.decode("utf-16" if data.startswith(b"\xff\xfe") else "utf-8", "replace")
    lines = text.splitlines(keepends=True)
    at = chance.randrange(len(lines))
    what = chance.choice(TEXT_CHANGES)
    if what == "cut":
        return Mutant(what, text[: chance.randrange(len(text))].encode())
    if what == "encoding":
        return Mutant(what, text.encode(chance.choice(ENCODINGS), "replace"))
    if what == "bytes":
        place = chance.randrange(len(data))
        return Mutant(what, data[:place] + chance.randbytes(chance.randint(1, 8)) + data[place:])
    line = lines[at]
    column = chance.randrange(len(line))
    if what == "insert":
        lines[at] = line[:column] + chance.choice(SYNTAX) + line[column:]
    elif what == "gone":
        lines[at] = ""
    elif what == "again":
        lines[at] = line + line
    elif what == "indent":
        lines[at] = chance.choice(("  ", "\t", " ")) + line
    elif what == "long":
        lines[at] = line[:column] + "z" * 20000 + line[column:]
    elif name := re.search(r"@?[a-z-]{3,}", line):
        lines[at] = line.replace(name[0], _typo(name[0], chance), 1)
        return Mutant(what, "".join(lines).encode(), None if _is_xml(data) else _around(lines, at))
    return Mutant(what, "".join(lines).encode())


def _around(lines: list[str], at: int) -> frozenset[int]:
    """The line, what it contains, and what contains it; in TOML, that may be any heading."""

    def indent(line: str) -> int:
        return len(line) - len(line.lstrip(" -"))

    own = indent(lines[at])
    above = [n for n, line in enumerate(lines[:at]) if line.startswith("[") or indent(line) < own]
    below = range(at + 1, len(lines))
    items = takewhile(lambda n: indent(lines[n]) > own or lines[n].lstrip()[:1] in "-{[]}", below)
    return frozenset(number + 1 for number in (*above, at, *items))
