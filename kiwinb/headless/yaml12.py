"""Read YAML 1.2, with the text of each plain scalar.

PyYAML resolves plain scalars by YAML 1.1, which makes 8 of ``010``, 5400 of ``1:30:00`` and
``True`` of ``yes``. This module takes only the syntax from PyYAML, and resolves scalars by the core
schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema). It keeps the text of a plain
scalar, so that a parameter of the type ``str`` gets ``010`` and one of the type ``int`` gets 10.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.constructor import ConstructorError

_PLAIN = "tag:yaml.org,2002:plain"  # stands for a plain scalar without a tag; YAML has no such tag
_CORE = "tag:yaml.org,2002:"
_MERGE = "<<"

_ENDS = "\0 \t\r\n\x85\u2028\u2029,[]{}"
"""Characters that end a plain scalar in brackets."""

_NULLS = ("", "~", "null", "Null", "NULL")
_BOOLS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"[-+]?\.(inf|Inf|INF)")
_NAN = (".nan", ".NaN", ".NAN")


@dataclass(frozen=True)
class Scalar:
    """A plain scalar: text without quotes and without a tag.

    Attributes:
        text: The text as written.
        value: What it means by the core schema: ``None``, a truth value, a number, or the text.
    """

    text: str
    value: Any

    @classmethod
    def read(cls, text: str) -> Scalar:
        """Resolve the text of a plain scalar."""
        return cls(text, _value(text))


def load(text: str) -> Any:
    """Read a YAML document.

    Returns:
        Dictionaries and lists of :class:`Scalar` and, for quoted scalars, ``str``. Scalars with a
        tag are values of that type. An empty document is an empty scalar.

    Raises:
        yaml.YAMLError: The text is not YAML, has more than one document, an object of it contains
            itself, a key occurs twice or is not a scalar, or a tag is not of the core schema.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        return Scalar("", None) if node is None else _data(node, ())
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    finally:
        loader.dispose()


def _value(text: str) -> Any:
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _OCTAL.fullmatch(text) or _HEXADECIMAL.fullmatch(text):
        return int(text, 0)
    if _DECIMAL.fullmatch(text):
        try:
            return int(text)
        except ValueError:  # Python refuses thousands of digits
            return text
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITY.fullmatch(text):
        return float(text.replace(".", ""))
    return float("nan") if text in _NAN else text


class _Loader(yaml.SafeLoader):
    """PyYAML's parser, with the syntax of YAML 1.2; it leaves plain scalars unresolved."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode and implicit[0]:
            return _PLAIN
        return {
            yaml.ScalarNode: f"{_CORE}str",
            yaml.SequenceNode: f"{_CORE}seq",
            yaml.MappingNode: f"{_CORE}map",
        }[kind]

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        """Take the tag ``!`` for that of text."""
        tag = self.peek_event().tag  # type: ignore[no-untyped-call]
        node: yaml.ScalarNode = super().compose_scalar_node(anchor)
        if tag == "!":
            node.tag = f"{_CORE}str"
        return node

    def scan_to_next_token(self) -> None:
        """Skip tabs between tokens, too, which YAML 1.2 allows everywhere but in indentation."""
        super().scan_to_next_token()
        while self.peek() == "\t" and (self.flow_level or not self.allow_simple_key):
            self.forward()
            super().scan_to_next_token()

    # In brackets, YAML 1.1 sees an indicator in every ":" or "?" at the beginning of a scalar, and
    # in every "?" within one. YAML 1.2 does so only if no other character of a scalar follows.

    def check_key(self) -> bool:
        return bool(super().check_key()) and (not self.flow_level or self.peek(1) in _ENDS)

    def check_value(self) -> bool:
        if not self.flow_level or self.peek(1) in _ENDS:
            return bool(super().check_value())
        last = self.tokens[-1] if self.tokens else None
        if isinstance(last, yaml.ScalarToken):
            return not last.plain
        return isinstance(last, yaml.FlowSequenceEndToken | yaml.FlowMappingEndToken)

    def check_plain(self) -> bool:
        if self.flow_level and self.peek() in "?:":
            return self.peek(1) not in _ENDS
        return bool(super().check_plain())

    def scan_plain(self) -> yaml.ScalarToken:
        if not self.flow_level:
            return super().scan_plain()
        chunks: list[str] = []
        spaces: list[str] = []
        start = end = self.get_mark()
        while length := self._plain_length():
            self.allow_simple_key = False
            chunks += [*spaces, self.prefix(length)]
            self.forward(length)
            end = self.get_mark()
            spaces = self.scan_plain_spaces(self.indent + 1, start) or []
            if not spaces or self.peek() == "#":
                break
        return yaml.ScalarToken("".join(chunks), True, start, end)

    def _plain_length(self) -> int:
        """Count the characters of a plain scalar in brackets up to a space or its end."""
        length = 0
        while self.peek(length) not in _ENDS and not (
            self.peek(length) == ":" and self.peek(length + 1) in _ENDS
        ):
            length += 1
        return length


def _data(node: yaml.Node, within: tuple[yaml.Node, ...]) -> Any:
    if any(node is outer for outer in within):
        raise _error("this refers to itself", node)
    within = (*within, node)
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if isinstance(node, yaml.SequenceNode) and node.tag == f"{_CORE}seq":
        return [_data(item, within) for item in node.value]
    if isinstance(node, yaml.MappingNode) and node.tag == f"{_CORE}map":
        return _mapping(node, within)
    raise _error(f"the core schema of YAML 1.2 does not have the tag {node.tag}", node)


def _scalar(node: yaml.ScalarNode) -> Any:
    if node.tag == _PLAIN:
        return Scalar.read(node.value)
    if node.tag == f"{_CORE}str":
        return _joined(node)
    value = _value(node.value)
    kinds = {"null": type(None), "bool": bool, "int": int, "float": float}
    kind = kinds.get(node.tag.removeprefix(_CORE))
    if kind is None:
        raise _error(f"the core schema of YAML 1.2 does not have the tag {node.tag}", node)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise _error(f"{node.value!r} is not of the type that its tag {node.tag} says", node)
    return value


def _joined(node: yaml.ScalarNode) -> str:
    r"""Join surrogates in a string, because JSON writes one character as ``\ud83d\ude00``."""
    try:
        return str(node.value).encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise _error("a surrogate stands alone in this string", node) from None


def _mapping(node: yaml.MappingNode, within: tuple[yaml.Node, ...]) -> dict[Any, Any]:
    own: dict[Any, Any] = {}
    merged: dict[Any, Any] = {}
    seen: set[tuple[type, Any]] = set()
    for key_node, value_node in node.value:
        key, value = _data(key_node, within), _data(value_node, within)
        if isinstance(key, dict | list):
            raise _error("a list or mapping cannot be a key", key_node)
        if isinstance(key, Scalar) and key.text == _MERGE and _mappings(value):
            for item in reversed(_mappings(value)):
                merged.update(item)
            continue
        if _meaning(key) in seen:
            raise _error(f"the key {key_node.value} occurs twice", key_node)
        seen.add(_meaning(key))
        own[key] = value
    kept = {key: value for key, value in merged.items() if _meaning(key) not in seen}
    return {**kept, **own}


def _meaning(key: Any) -> tuple[type, Any]:
    value = key.value if isinstance(key, Scalar) else key
    return type(value), value


def _mappings(value: Any) -> list[dict[Any, Any]]:
    """Return the mappings that a merge key names; none if its value is something else.

    YAML 1.2 has no merge keys any more, but files of parameters do.
    """
    found = value if isinstance(value, list) else [value]
    return found if all(isinstance(item, dict) for item in found) else []


def _error(problem: str, node: yaml.Node) -> yaml.YAMLError:
    return ConstructorError(None, None, problem, node.start_mark)
