"""Read YAML into nodes of a description, with their lines."""

from __future__ import annotations

from pathlib import Path

import yaml

from kiwinb.description.markup_node import ATTRIBUTE, TEXT, Node, wrong
from kiwinb.description.schema.rules import switches

_MOST_NODES = 200_000
"""An alias counts as all that it stands for."""


def read_yaml(text: str, name: Path) -> Node:
    """Read a document; the node that is returned stands for what is around its root element.

    Scalars are taken as they are written: ``1.10`` stays ``1.10``, and the keytable ``no`` stays
    ``no``. Only where a boolean is due is ``yes`` the same as ``true``.

    Args:
        text: The document.
        name: Name of the file for errors.

    Raises:
        DescriptionError: It is no YAML, or does not stand for XML.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise wrong(
            name,
            mark.line + 1 if mark else None,
            f"this is not valid YAML: {error.problem or error.context}",
            "Correct it there or shortly before; quote names that begin with @.",
        ) from None
    except yaml.reader.ReaderError as error:
        raise wrong(
            name,
            text.count("\n", 0, error.position) + 1,
            f"the character U+{error.character:04X} is not allowed in YAML",
            "Remove it, and save the file as UTF-8.",
        ) from None
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())[:200]
        raise wrong(name, None, f"this is not valid YAML: {said}", "Correct it.") from None
    return nodes(root, name)


def nodes(root: yaml.Node | None, name: Path) -> Node:
    """Turn the nodes of YAML into those of a description; see :func:`read_yaml`."""
    if not isinstance(root, yaml.MappingNode):
        raise wrong(name, 1, "a description is a mapping with the key image", "Write image: first.")
    node = Node(root.start_mark.line + 1)
    _Reader(name).fill(node, root, ())
    return node


class _Reader:
    def __init__(self, name: Path) -> None:
        self.name = name
        self.left = _MOST_NODES

    def fill(self, node: Node, mapping: yaml.MappingNode, around: tuple[int, ...]) -> None:
        if id(mapping) in around:
            raise self._wrong(mapping, "the node contains itself", "Remove the alias.")
        seen: set[str] = set()
        for key, value in mapping.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._wrong(key, "a key has to be a name", "Write NAME: before the value.")
            word = _characters(key.value)
            if word in seen:
                raise self._wrong(
                    key, f"the key {word} is there twice", "Make one list of both values."
                )
            seen.add(word)
            items = value.value if isinstance(value, yaml.SequenceNode) else [value]
            if word == TEXT or word.startswith(ATTRIBUTE):
                text = self._scalar(value, word)
                if word == TEXT:
                    node.text = text
                else:
                    node.attributes[word.removeprefix(ATTRIBUTE)] = text
                continue
            for item in items:
                line = (key if item is value else item).start_mark.line + 1
                node.add(word, self._child(item, word, line, (*around, id(mapping))))

    def _child(self, value: yaml.Node, word: str, line: int, around: tuple[int, ...]) -> Node:
        self.left -= 1
        if self.left < 0:
            raise self._wrong(value, "the description is too large", "Remove aliases.")
        node = Node(line)
        if isinstance(value, yaml.MappingNode):
            self.fill(node, value, around)
        else:
            node.text = self._scalar(value, word)
        return node

    def _scalar(self, value: yaml.Node, word: str) -> str:
        if not isinstance(value, yaml.ScalarNode):
            raise self._wrong(
                value, f"{word} takes a text here", "Write one value after the colon."
            )
        if value.tag == "tag:yaml.org,2002:null" and value.style is None:
            return ""
        is_boolean = value.tag == "tag:yaml.org,2002:bool" and value.style is None
        if is_boolean and word.removeprefix(ATTRIBUTE) in switches():
            return "true" if value.value.lower() in ("yes", "true", "on") else "false"
        return _characters(value.value)

    def _wrong(self, node: yaml.Node, problem: str, remedy: str) -> Exception:
        return wrong(self.name, node.start_mark.line + 1, problem, remedy)


def _characters(text: str) -> str:
    """The text with pairs of surrogates, as JSON escapes them, put together."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
