"""Read JSON into nodes of a description, with their lines.

The parser of the standard library tells no lines, so it only checks the document, and tells how
strings are unescaped.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from kiwinb.description.markup_node import Node, wrong
from kiwinb.description.markup_yaml import nodes

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_TAGS = {"true": "bool", "false": "bool", "null": "null"}


def read_json(text: str, name: Path) -> Node:
    """Read a document; the node that is returned stands for what is around its root element.

    Numbers are taken as they are written: ``1.10`` stays ``1.10``.

    Args:
        text: The document.
        name: Name of the file for errors.

    Raises:
        DescriptionError: It is no JSON, or does not stand for XML.
    """
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except ValueError as error:
        line = getattr(error, "lineno", None)
        said = getattr(error, "msg", str(error))
        raise wrong(name, line, f"this is not valid JSON: {said}", "Correct it there.") from None
    return nodes(_Composer(text).value(), name)


class _Composer:
    """Makes the nodes that YAML would have for a valid document."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, yaml.Mark]] = []
        line = at = 0
        for token in _TOKEN.finditer(text):
            line += text.count("\n", at, token.start())
            at = token.start()
            self._tokens.append((token[0], yaml.Mark("", at, line, 0, None, 0)))
        self._next = 0

    def _take(self) -> tuple[str, yaml.Mark]:
        self._next += 1
        return self._tokens[self._next - 1]

    def _more(self, end: str) -> bool:
        """Whether there is another item before the end; skips commas and the end itself."""
        if self._tokens[self._next][0] == ",":
            self._next += 1
        if self._tokens[self._next][0] == end:
            self._next += 1
            return False
        return True

    def value(self) -> yaml.Node:
        word, mark = self._take()
        if word == "{":
            pairs = []
            while self._more("}"):
                key = self.value()
                self._take()  # the colon
                pairs.append((key, self.value()))
            return yaml.MappingNode("tag:yaml.org,2002:map", pairs, mark, mark)
        if word == "[":
            items = []
            while self._more("]"):
                items.append(self.value())
            return yaml.SequenceNode("tag:yaml.org,2002:seq", items, mark, mark)
        if word.startswith('"'):
            text: str = json.loads(word)
            return yaml.ScalarNode("tag:yaml.org,2002:str", text, mark, mark, style='"')
        tag = f"tag:yaml.org,2002:{_TAGS.get(word, 'str')}"
        return yaml.ScalarNode(tag, word, mark, mark)
