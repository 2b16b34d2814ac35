"""Types of parameters: evaluate annotations, and check and convert values."""

from __future__ import annotations

import ast
import datetime
import types
import typing
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

_TYPES: dict[str, Any] = {
    "Any": Any,
    "None": type(None),
    "Path": Path,
    "pathlib.Path": Path,
    "bool": bool,
    "dict": dict,
    "float": float,
    "int": int,
    "list": list,
    "set": set,
    "str": str,
    "tuple": tuple,
    **{
        f"{prefix}{name}": value
        for prefix in ("", "typing.")
        for name, value in {
            "Dict": dict,
            "List": list,
            "Literal": typing.Literal,
            "Mapping": dict,
            "Optional": typing.Optional,
            "Sequence": list,
            "Set": set,
            "Tuple": tuple,
            "Union": typing.Union,
        }.items()
    },
}
_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")


def type_named(text: str) -> Any:
    """Return the type that a text names; ``Any`` if it is not a known type."""
    try:
        return type_of(ast.parse(text, mode="eval").body)
    except SyntaxError:
        return Any


def type_of(node: ast.expr) -> Any:
    """Return the type that an annotation means; ``Any`` if it is not a known type."""
    if isinstance(node, ast.Constant):
        if node.value is None:
            return type(None)
        return type_named(node.value) if isinstance(node.value, str) else Any
    if isinstance(node, ast.Name | ast.Attribute):
        return _TYPES.get(ast.unparse(node), Any)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return typing.Union[type_of(node.left), type_of(node.right)]  # noqa: UP007 - made at run time
    if isinstance(node, ast.Subscript):
        base = type_of(node.value)
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if base is typing.Literal:
            values = tuple(item.value for item in inner if isinstance(item, ast.Constant))
            return typing.Literal[values] if values else Any
        if base is Any:
            return Any
        arguments = tuple(
            ... if isinstance(item, ast.Constant) and item.value is ... else type_of(item)
            for item in inner
        )
        try:
            return base[arguments if len(arguments) > 1 else arguments[0]]
        except TypeError:
            return Any
    return Any


def type_of_default(node: ast.expr) -> Any:
    """Return the type of a literal; ``Any`` for ``None`` and for other expressions."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, SyntaxError):
        return Any
    return Any if value is None else type(value)


def readings(type_: Any, text: str) -> Iterator[Any]:
    """Yield possible values of a text from the command line, the most likely first."""
    allowed = _alternatives(type_)
    if str in allowed and not set(allowed) - {str, type(None)}:
        if type(None) in allowed and text == "None":
            yield None
        yield text
        return
    if bool in allowed and text.lower() in (*_TRUE, *_FALSE):
        yield text.lower() in _TRUE
    if type_ is Any and text.lower() in ("true", "false"):
        yield text.lower() == "true"
    with suppress(ValueError, SyntaxError):
        yield ast.literal_eval(text)
    if type_ is not Any:
        with suppress(yaml.YAMLError):
            yield plain(yaml.safe_load(text))
    yield text


def _alternatives(type_: Any) -> tuple[Any, ...]:
    if typing.get_origin(type_) in (typing.Union, types.UnionType):
        return typing.get_args(type_)
    return (type_,)


def is_of(value: Any, type_: Any) -> bool:
    """Tell whether a value has a type; lists count as tuples and sets, which YAML does not have."""
    if type_ is Any:
        return True
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if origin in (typing.Union, types.UnionType):
        return any(is_of(value, item) for item in arguments)
    if origin is typing.Literal:
        return any(value == item and type(value) is type(item) for item in arguments)
    kind = origin or type_
    if kind is Path:
        return isinstance(value, str | Path)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in (tuple, set):  # YAML and TOML have only lists
        kind = (kind, list)
    if not isinstance(value, kind):
        return False
    if isinstance(value, dict) and len(arguments) == 2:
        return all(
            is_of(key, arguments[0]) and is_of(item, arguments[1]) for key, item in value.items()
        )
    if isinstance(value, list | tuple | set) and arguments:
        if origin is tuple and arguments[-1] is not ...:
            return len(value) == len(arguments) and all(map(is_of, value, arguments))
        return all(is_of(item, arguments[0]) for item in value)
    return True


def as_type(value: Any, type_: Any) -> Any:
    """Convert a value to the type that the notebook expects, such as a list to a tuple."""
    for item in _alternatives(type_):
        kind = typing.get_origin(item) or item
        if kind is float and isinstance(value, int) and int not in _alternatives(type_):
            return float(value)
        if kind in (tuple, set) and isinstance(value, list):
            return kind(value)
        if kind is Path and isinstance(value, str) and str not in _alternatives(type_):
            return Path(value)
    return value


def plain(value: Any) -> Any:
    """Replace dates in data from YAML by text in ISO 8601 form."""
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime.date) else value
