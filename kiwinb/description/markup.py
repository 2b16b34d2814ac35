"""Descriptions in YAML, TOML and JSON, turned into the XML that they stand for.

The names are those of KIWI NG's own conversion: an attribute is ``@name``, the text of an element
with attributes is ``#text``, and an element that occurs several times is a list. The XML has each
element in the line in which the description has it, so that whoever reads it sees the right lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from kiwinb.description.markup_node import ATTRIBUTE, TEXT, Node, wrong

SUFFIXES = (".yaml", ".yml", ".toml", ".json")
"""Endings of the names of descriptions that are not XML."""

MAX_BYTES = 1 << 20
"""The maximum size of a file: its parsers in Python take seconds for each MiB."""

_NAME = re.compile(r"[^\W\d][\w.-]*(:[^\W\d][\w.-]*)?")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_PREAMBLE = re.compile(r"\s*(#.*|---.*|%.*)?$")
_TOML = re.compile(r"^\s*(\[|[\w\"'.@-]+\s*=)")


def as_xml(data: bytes, name: Path) -> bytes:
    """The XML of a description; XML stays as it is.

    Args:
        data: The content of the file.
        name: Name of the file for errors.

    Raises:
        DescriptionError: It is neither XML nor YAML, TOML or JSON that stands for XML.
    """
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") or data.startswith((b"\xff", b"\xfe")):
        return data
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data  # the XML parser says what is wrong
    if len(data) > MAX_BYTES:
        raise wrong(
            name,
            None,
            f"the file is too large: in this form, it has at most {MAX_BYTES >> 20} MiB",
            "Put files that belong into the image into the overlay tree root/ or an archive.",
        )
    try:
        root = _parse(text, name)
        if len(root.children) != 1 or root.attributes:
            others = (child.line for key, child in root.children if key != "image")
            raise wrong(
                name,
                next(others, root.line),
                "a description has one key at the top: image",
                "Everything else belongs into image.",
            )
        return _written(*root.children[0], name).encode()
    except RecursionError:
        raise wrong(name, None, "the description is nested too deeply", "Correct it.") from None


def _parse(text: str, name: Path) -> Node:
    from kiwinb.description.markup_json import read_json
    from kiwinb.description.markup_toml import read_toml
    from kiwinb.description.markup_yaml import read_yaml

    suffix = name.suffix.lower()
    if suffix == ".json" or (suffix not in SUFFIXES and text.lstrip().startswith("{")):
        return read_json(text, name)
    first = next((line for line in text.split("\n") if not _PREAMBLE.match(line)), "")
    if suffix == ".toml" or (suffix not in SUFFIXES and _TOML.match(first)):
        return read_toml(text, name)
    if suffix in SUFFIXES or re.match(r"[\w\"']+\s*:(\s|$)", first):
        return read_yaml(text, name)
    raise wrong(
        name,
        1,
        "this is neither XML nor YAML, TOML or JSON",
        'A description in XML begins with <image schemaversion="…">, one in YAML with image:.',
    )


def _written(tag: str, node: Node, name: Path) -> str:
    parts: list[str] = []
    line = 1
    for at, text in _pieces(tag, node, name):
        if at > line:
            parts.append("\n" * (at - line))
            line = at
        parts.append(text)
        line += text.count("\n")
    return "".join(parts)


def _pieces(tag: str, node: Node, name: Path) -> Iterator[tuple[int, str]]:
    """The pieces of the XML of an element, each with its line; line 0 if that does not matter."""
    for word in (tag, *node.attributes):
        if not _NAME.fullmatch(word):
            raise wrong(
                name,
                node.line,
                f"{word!r} cannot be the name of an element or attribute",
                f"An attribute is {ATTRIBUTE}NAME, text beside attributes is {TEXT}.",
            )
    for text in (node.text, *node.attributes.values()):
        if _CONTROL.search(text):
            raise wrong(
                name,
                node.line,
                "control characters cannot be part of a description",
                "Remove them.",
            )
    said = "".join(
        f" {key}={quoteattr(value, {chr(10): '&#10;', chr(9): '&#9;', chr(13): '&#13;'})}"
        for key, value in node.attributes.items()
    )
    yield node.line, f"<{tag}{said}>"
    if node.text:
        yield 0, escape(node.text, {"\r": "&#13;", "\n": "&#10;"})
    for child_tag, child in node.children:
        yield from _pieces(child_tag, child, name)
    yield 0, f"</{tag}>"
