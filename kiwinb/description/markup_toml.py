"""Read TOML into nodes of a description, with their lines.

The parser of the standard library tells no lines, so the document is read statement by statement.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kiwinb.description.markup_node import ATTRIBUTE, TEXT, Node, wrong

_TOKEN = re.compile(
    r'''"""(?:\\.|[^\\])*?"""+|\'\'\'.*?\'\'\'+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*|[][{}\n]''',
    re.DOTALL,
)
"""What decides where a statement ends: strings, comments, brackets and ends of lines."""

_DEEP = re.compile(r"(?<![\w-])(?:[\w-]+[ \t]*\.[ \t]*){100}")
"""A dotted name that takes long to read."""

_PLAIN = re.compile(r"[^\"'\[{\s#][^#\n]*")
"""A value that is neither a string nor an array nor a table."""


def read_toml(text: str, name: Path) -> Node:
    """Read a document; the node that is returned stands for what is around its root element.

    Numbers are taken as they are written: ``1.10`` stays ``1.10``.

    Args:
        text: The document.
        name: Name of the file for errors.

    Raises:
        DescriptionError: It is no TOML, or does not stand for XML.
    """
    if deep := _DEEP.search(text):
        line = text.count("\n", 0, deep.start()) + 1
        raise wrong(name, line, "the description is nested too deeply", "Correct it.")
    try:
        tomllib.loads(text)
    except ValueError as error:
        if not isinstance(error, tomllib.TOMLDecodeError):
            said = "it has a number with too many digits"
            raise wrong(name, None, f"this is not valid TOML: {said}", "Correct it.") from None
        place = re.search(r" \(at line (\d+), column \d+\)", str(error))
        said = str(error).removesuffix(place[0]) if place else str(error)
        line = int(place[1]) if place else len(text.rstrip().splitlines())
        raise wrong(name, line, f"this is not valid TOML: {said}", "Correct it there.") from None
    root = Node(1)
    table = root
    for line, statement in _statements(text):
        if statement.lstrip().startswith("["):
            table = _table(root, statement, line)
        else:
            _set(table, statement, line, name)
    return root


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """The headers and assignments, each with its line; comments and empty lines are left out.

    Args:
        text: A valid document.
    """
    begin, line, depth = 0, 1, 0
    for token in _TOKEN.finditer(f"{text}\n"):
        if token[0] in ("[", "{"):
            depth += 1
        elif token[0] in ("]", "}"):
            depth -= 1
        elif token[0] == "\n" and depth == 0:
            statement = text[begin : token.start()].removesuffix("\r")
            if statement.strip() and not statement.lstrip().startswith("#"):
                yield line, statement
            line += text.count("\n", begin, token.end())
            begin = token.end()


def _path(found: object) -> list[str]:
    """The names of nested tables of one entry each, down to an empty one."""
    names: list[str] = []
    while isinstance(found, list) or (isinstance(found, dict) and found):
        if isinstance(found, list):
            found = found[0]
        else:
            ((name, found),) = found.items()
            names.append(name)
    return names


def _table(root: Node, header: str, line: int) -> Node:
    """The node of a ``[table]`` or a ``[[table]]``, which is always a new one."""
    names = _path(tomllib.loads(header))
    several = header.lstrip().startswith("[[")
    return _below(root, names, line, fresh=several)


def _below(node: Node, names: Sequence[str], line: int, *, fresh: bool = False) -> Node:
    for number, name in enumerate(names, 1):
        last = number == len(names)
        known = node.last.get(name)
        if known is not None and not (fresh and last):
            node = known
            continue
        child = Node(line)
        node.add(name, child)
        node = child
    return node


def _set(table: Node, statement: str, line: int, name: Path) -> None:
    try:
        *outer, key = names = _path(tomllib.loads(f"[{statement.partition('=')[0].strip()}]"))
    except tomllib.TOMLDecodeError:
        raise wrong(
            name, line, "there is an equals sign in the name of a key", "Correct the name."
        ) from None
    value: Any = tomllib.loads(statement, parse_float=str)
    for word in names:
        value = value[word]
    if not isinstance(value, (str, list, dict)):
        value = _as_written(statement)
    _put(_below(table, outer, line), key, value, line, name)


def _as_written(statement: str) -> str:
    value = statement.partition("=")[2].strip()
    found = _PLAIN.match(value)
    return found[0].strip() if found else value


def _put(node: Node, key: str, value: object, line: int, name: Path) -> None:
    if key == TEXT or key.startswith(ATTRIBUTE):
        if isinstance(value, (list, dict)):
            raise wrong(name, line, f"{key} takes a text", "Write one value after the =.")
        if key == TEXT:
            node.text = _text(value)
        else:
            node.attributes[key.removeprefix(ATTRIBUTE)] = _text(value)
        return
    for item in value if isinstance(value, list) else [value]:
        child = Node(line)
        node.add(key, child)
        if isinstance(item, dict):
            for inner, other in item.items():
                _put(child, inner, other, line, name)
        elif isinstance(item, list):
            raise wrong(name, line, f"{key} has a list in a list", "Write one list.")
        else:
            child.text = _text(item)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
