"""Convert values to JSON and back, checked against their declared types.

Whatever another process may have written is read this way: JSON cannot run code, and
:func:`from_json` makes nothing but what the declared type consists of. Types may consist of
``None``, ``bool``, ``int``, ``float``, ``str``, ``bytes``, ``Path``, ``Literal``, unions, tuples,
sequences, mappings and dataclasses. ``object`` stands for any JSON data.

Strings may have surrogates, such as those of file names that are not UTF-8. Bytes are not part of
the JSON text, but follow it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

_BLOB = "bytes"
"""The only name in the JSON object that stands for bytes; its value is their number."""

_ANY = (object, Any)
_LONGEST_QUOTE = 60

_encode = json.JSONEncoder(separators=(",", ":")).encode


class WrongData(ValueError):
    """Data is not what its declared type says; the message names the place in it."""


def pack(value: object) -> bytes:
    """Return a value as bytes for another process.

    Raises:
        TypeError: The value has parts that are not data.
    """
    blobs: list[bytes] = []
    data = to_json(value, blobs)
    head = _encode([data, [len(blob) for blob in blobs]]).encode("ascii")
    return b"\n".join((head, b"".join(blobs)))


@dataclass(frozen=True)
class Packed:
    """What :func:`pack` made.

    Attributes:
        data: JSON data.
        blobs: The bytes that are part of the value.
    """

    data: object
    blobs: Sequence[bytes]

    def read(self, declared: Any) -> Any:
        """Return the value; see :func:`from_json`."""
        return from_json(self.data, declared, self.blobs)


def split(packed: bytes) -> Packed:
    """Read the JSON data of what :func:`pack` made.

    Raises:
        WrongData: The bytes are something else.
    """
    end = packed.find(b"\n")
    data, sizes = from_json(parsed(packed[:end]), tuple[object, tuple[int, ...]])
    blobs, at = [], end + 1
    for size in sizes:
        if not 0 <= size <= len(packed) - at:
            raise WrongData("the bytes at its end have other lengths")
        blobs.append(packed[at : at + size])
        at += size
    if at != len(packed):
        raise WrongData("something follows it")
    return Packed(data, blobs)


def dumps(value: object) -> str:
    """Return a value without bytes as JSON text.

    Raises:
        TypeError: The value has parts that are not data.
    """
    return _encode(to_json(value))


def loads(text: str | bytes, declared: Any) -> Any:
    """Return the value of a JSON text.

    Args:
        text: The text.
        declared: The type of the value.

    Raises:
        WrongData: The text is not JSON, or its data has another type.
    """
    return from_json(parsed(text), declared)


def parsed(text: str | bytes) -> Any:
    """Parse JSON text.

    Raises:
        WrongData: It is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise WrongData("it is nested too deeply") from None
    except ValueError as error:
        raise WrongData(f"it is not JSON: {error}") from None


def to_json(value: object, blobs: list[bytes] | None = None) -> Any:
    """Convert a value to JSON data.

    Args:
        value: The value.
        blobs: A list to which its bytes are added; ``None`` if it has none.

    Raises:
        TypeError: The value has parts that are not data.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, tuple | list):
        if all(type(item) is str for item in value):
            return value
        return [to_json(item, blobs) for item in value]
    if isinstance(value, bytes) and blobs is not None:
        blobs.append(value)
        return {_BLOB: len(blobs) - 1}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: to_json(item, blobs) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_json(getattr(value, item.name), blobs) for item in fields(value)}
    raise TypeError(f"{type(value).__qualname__} is not data")


def from_json(data: object, declared: Any, blobs: Sequence[bytes] = ()) -> Any:
    """Convert JSON data back to a value.

    Args:
        data: The data.
        declared: The type of the value.
        blobs: The bytes that are part of the value.

    Raises:
        WrongData: The data has another type.
        TypeError: Values of the declared type cannot be converted.
    """
    try:
        return _reader(declared)(data, blobs)
    except RecursionError:
        raise WrongData("it is nested too deeply") from None


def return_type(function: Callable[..., object]) -> Any:
    """Return the declared type of what a function returns."""
    return _hints(function).get("return", object)


@lru_cache(maxsize=1024)
def _hints(item: Hashable) -> Mapping[str, Any]:
    return get_type_hints(item)


_Reader = Callable[[Any, Sequence[bytes]], Any]


@lru_cache(maxsize=1024)
def _reader(declared: Any) -> _Reader:
    """Return the function that reads data of a type."""
    origin, arguments = get_origin(declared), get_args(declared)
    if declared in _ANY:
        return _read_any
    if declared is None or declared is NoneType:
        return _plain(NoneType, "null")
    if declared in _NAMES:
        return _plain(declared, _NAMES[declared])
    if declared is float:
        return _read_float
    if declared is bytes:
        return _read_bytes
    if declared is Path:
        return _read_path
    if origin is Literal:
        return _literal(arguments)
    if origin in (Union, UnionType):
        return _union(arguments)
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        return _fixed(arguments)
    if origin is tuple or _is(origin, Sequence):
        return _sequence(arguments[0], tuple if origin is tuple else list)
    if _is(origin, Mapping) and arguments[0] is str:
        return _mapping(arguments[1])
    if is_dataclass(declared):
        return _dataclass(cast("type[object]", declared))
    raise TypeError(f"{declared} cannot be read from JSON")


_NAMES = {bool: "a truth value", int: "an integer", str: "text"}


def _is(origin: Any, kind: type) -> bool:
    return isinstance(origin, type) and issubclass(origin, kind)


def _wrong(wanted: str, data: object) -> WrongData:
    said = repr(data)
    if len(said) > _LONGEST_QUOTE:
        said = f"{said[:_LONGEST_QUOTE]}…"
    return WrongData(f"{wanted} is needed, not {said}")


def _plain(kind: type, name: str) -> _Reader:
    def read(data: Any, _blobs: Sequence[bytes]) -> Any:
        if type(data) is not kind:
            raise _wrong(name, data)
        return data

    return read


def _read_any(data: Any, _blobs: Sequence[bytes]) -> Any:
    return data


def _read_float(data: Any, _blobs: Sequence[bytes]) -> float:
    if type(data) not in (int, float):
        raise _wrong("a number", data)
    try:
        return float(data)
    except OverflowError:
        raise WrongData("a number is too large") from None


def _read_bytes(data: Any, blobs: Sequence[bytes]) -> bytes:
    number = data.get(_BLOB) if isinstance(data, dict) else None
    if type(number) is not int or not 0 <= number < len(blobs) or len(data) != 1:
        raise _wrong("a number of bytes", data)
    return blobs[number]


def _read_path(data: Any, _blobs: Sequence[bytes]) -> Path:
    if type(data) is not str or "\0" in data:
        raise _wrong("a path", data)
    return Path(data)


def _literal(values: tuple[Any, ...]) -> _Reader:
    def read(data: Any, _blobs: Sequence[bytes]) -> Any:
        for value in values:
            if type(data) is type(value) and data == value:
                return value
        raise _wrong(f"one of {', '.join(map(repr, values))}", data)

    return read


def _union(choices: tuple[Any, ...]) -> _Reader:
    readers = [_reader(choice) for choice in choices]

    def read(data: Any, blobs: Sequence[bytes]) -> Any:
        problem: WrongData | None = None
        for reader in readers:
            try:
                return reader(data, blobs)
            except WrongData as error:
                problem = problem or error
        assert problem is not None
        raise problem

    return read


def _items(data: Any) -> list[Any]:
    if type(data) is not list:
        raise _wrong("a list", data)
    return data


def _fixed(kinds: tuple[Any, ...]) -> _Reader:
    readers = [_reader(kind) for kind in kinds]

    def read(data: Any, blobs: Sequence[bytes]) -> tuple[Any, ...]:
        items = _items(data)
        if len(items) != len(readers):
            raise _wrong(f"a list of {len(readers)}", data)
        pairs = zip(readers, items, strict=True)
        return tuple(_at(f"[{n}]", *pair, blobs) for n, pair in enumerate(pairs))

    return read


def _sequence(kind: Any, make: Callable[[Any], Any]) -> _Reader:
    reader = _reader(kind)

    def read(data: Any, blobs: Sequence[bytes]) -> Any:
        items = _items(data)
        if kind is str and all(type(item) is str for item in items):
            return make(items)
        return make(_at(f"[{n}]", reader, item, blobs) for n, item in enumerate(items))

    return read


def _object(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise _wrong("an object", data)
    return data


def _mapping(kind: Any) -> _Reader:
    reader = _reader(kind)

    def read(data: Any, blobs: Sequence[bytes]) -> dict[str, Any]:
        pairs = _object(data).items()
        return {name: _at(f"[{name!r}]", reader, item, blobs) for name, item in pairs}

    return read


def _dataclass(kind: type[Any]) -> _Reader:
    """Fields with defaults may be missing, so that older data can be read."""
    readers: dict[str, _Reader] = {}
    required = {
        item.name
        for item in fields(kind)
        if item.default is MISSING and item.default_factory is MISSING
    }

    def read(data: Any, blobs: Sequence[bytes]) -> Any:
        if not readers:  # not earlier, because the class may refer to itself
            hints = get_type_hints(kind)
            readers.update({item.name: _reader(hints[item.name]) for item in fields(kind)})
        given = _object(data)
        for name in sorted(required - given.keys()):
            raise WrongData(f"{kind.__name__}.{name} is missing")
        for name in given.keys() - readers.keys():
            raise WrongData(f"{kind.__name__} has no {name[:_LONGEST_QUOTE]!r}")
        found = {
            name: _at(f"{kind.__name__}.{name}", readers[name], item, blobs)
            for name, item in given.items()
        }
        try:
            return kind(**found)
        except WrongData:
            raise
        except ValueError as error:
            raise WrongData(f"{kind.__name__}: {error}") from None

    return read


def _at(place: str, reader: _Reader, data: Any, blobs: Sequence[bytes]) -> Any:
    try:
        return reader(data, blobs)
    except WrongData as error:
        raise WrongData(f"{place}: {error}") from None
