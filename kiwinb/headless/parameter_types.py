"""Types of parameters: evaluate annotations, and make values of them."""

from __future__ import annotations

import ast
import datetime
import types
import typing
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from kiwinb.headless.yaml12 import Scalar, load

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
_BRACKETS = ("(", "[", "{")


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


class Misfit(ValueError):
    """A value does not have the type of its parameter."""


def from_text(text: str, type_: Any) -> Any:
    """Read a text from the command line as a value of a type.

    Text for ``str`` and ``Path`` is taken as it is. For other types, it is YAML 1.2 or, failing
    that, a Python literal. If nothing is known of the type, only numbers, truth values, ``null``
    and what is in brackets or quotes is read; other text is taken as it is.

    Raises:
        Misfit: The text is not of the type.
    """
    allowed = _alternatives(type_)
    if set(allowed) <= {str, Path, type(None)} and set(allowed) != {type(None)}:
        return None if type(None) in allowed and text in ("None", "null") else fit(text, type_)
    with suppress(Misfit, yaml.YAMLError):
        return fit(_written(text, type_), type_)
    if type_ is not Any or text.lstrip().startswith(_BRACKETS):
        with suppress(ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return fit(_literal(text), type_)
    return fit(Scalar(text, text), type_)


def _written(text: str, type_: Any) -> Any:
    """Read YAML from the command line, unless it is a sentence in which YAML sees more."""
    whole = Scalar(text, text)
    data = load(text)
    if isinstance(data, Scalar):
        if data.text == "None":  # as papermill and Python write it
            return Scalar(data.text, None)
        is_word = data.text != text.strip() or isinstance(data.value, str)
        return whole if is_word or (type_ is Any and not text.strip()) else data
    if isinstance(data, str):
        return data if text.rstrip().endswith(("'", '"')) else whole
    if type_ is Any and not text.lstrip().startswith(_BRACKETS):
        return whole
    return _with_none(data)


def _with_none(data: Any) -> Any:
    """Let ``None`` within lists and mappings mean what it means in Python."""
    if isinstance(data, dict):
        return {key: _with_none(item) for key, item in data.items()}
    if isinstance(data, list):
        return [_with_none(item) for item in data]
    return Scalar(data.text, None) if data == Scalar("None", "None") else data


def _literal(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd escapes in strings
        return ast.literal_eval(text)


def _alternatives(type_: Any) -> tuple[Any, ...]:
    if typing.get_origin(type_) in (typing.Union, types.UnionType):
        return typing.get_args(type_)
    return (type_,)


def fit(data: Any, type_: Any) -> Any:
    """Make a value of a type from data.

    Args:
        data: Values of Python or TOML, or what :func:`~kiwinb.headless.yaml12.load` returns. The
            type decides what a plain scalar means: ``010`` is the text ``010`` for ``str``.
        type_: The type.

    Returns:
        The value; integers become ``float`` if the type demands it, lists ``tuple`` or ``set``, and
        texts ``Path``.

    Raises:
        Misfit: The data does not have the type.
    """
    for exact in (True, False):
        with suppress(Misfit):
            return _fit(data, type_, exact)
    raise Misfit


def _fit(data: Any, type_: Any, exact: bool) -> Any:
    """Make a value of a type from data, without any conversion if it has to be exact."""
    if type_ is Any:
        return plain(data)
    alternatives = _alternatives(type_)
    if len(alternatives) > 1:
        for is_exact in (True,) if exact else (True, False):
            for item in alternatives:
                with suppress(Misfit):
                    return _fit(data, item, is_exact)
        raise Misfit
    kind = typing.get_origin(type_) or type_
    arguments = typing.get_args(type_)
    if kind is typing.Literal:
        return _one_of(data, arguments, exact)
    if kind is dict:
        return _fit_mapping(data, arguments, exact)
    if kind in (list, tuple, set):
        return _fit_sequence(data, kind, arguments, exact)
    return _fit_scalar(data, kind, exact)


def _one_of(data: Any, values: Sequence[Any], exact: bool) -> Any:
    found = [plain(data)]
    if isinstance(data, Scalar) and not exact:
        found.append(data.text)
    for candidate in found:
        for value in values:
            if candidate == value and type(candidate) is type(value):
                return value
    raise Misfit


def _fit_mapping(data: Any, arguments: Sequence[Any], exact: bool) -> dict[Any, Any]:
    if not isinstance(data, dict):
        raise Misfit
    key, value = arguments if len(arguments) == 2 else (Any, Any)
    return {_fit(name, key, exact): _fit(item, value, exact) for name, item in data.items()}


def _fit_sequence(data: Any, kind: Any, arguments: Sequence[Any], exact: bool) -> Any:
    # YAML, JSON and TOML have only lists
    if not isinstance(data, kind) and not (isinstance(data, list) and not exact):
        raise Misfit
    if kind is tuple and arguments and arguments[-1] is not ...:
        if len(data) != len(arguments):
            raise Misfit
        wanted: Sequence[Any] = arguments
    else:
        wanted = [arguments[0] if arguments else Any] * len(data)
    items = [_fit(item, type_, exact) for item, type_ in zip(data, wanted, strict=True)]
    try:
        return kind(items)
    except TypeError:  # a list in a set
        raise Misfit from None


def _fit_scalar(data: Any, kind: Any, exact: bool) -> Any:
    value = plain(data)
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    if exact:
        raise Misfit
    if kind is float and type(value) is int:
        with suppress(OverflowError):
            return float(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if isinstance(data, Scalar):
        if kind is bool and data.text.lower() in (*_TRUE, *_FALSE):
            return data.text.lower() in _TRUE
        if kind in (str, Path) and (value is not None or data.text == "None"):
            return kind(data.text)
    raise Misfit


def plain(data: Any) -> Any:
    """Return data with the values of scalars, and with dates as text in ISO 8601 form."""
    if isinstance(data, Scalar):
        return data.value
    if isinstance(data, dict):
        return {plain(key): plain(item) for key, item in data.items()}
    if isinstance(data, list):
        return [plain(item) for item in data]
    return data.isoformat() if isinstance(data, datetime.date | datetime.time) else data
