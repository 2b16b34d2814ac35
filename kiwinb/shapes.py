"""Take data apart that others wrote, and say what is wrong with its shape."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


class ShapeError(ValueError):
    """Data is not JSON, or a value in it is of another type than its format says."""


def parsed(data: bytes | str) -> Any:
    """Parse JSON.

    Raises:
        ShapeError: It is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(data)
    except RecursionError:
        raise ShapeError("it is nested too deeply") from None
    except ValueError as error:
        raise ShapeError(f"it is not JSON: {error}") from None


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """Return an object of JSON; ``null`` is an empty one.

    Raises:
        ShapeError: It is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ShapeError(f"{what} is not an object")
    return value


def sequence(value: Any, what: str) -> Sequence[Any]:
    """Return an array of JSON; ``null`` is an empty one.

    Raises:
        ShapeError: It is something else.
    """
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ShapeError(f"{what} is not an array")
    return value


def text(value: Any, what: str) -> str:
    """Return a string of JSON; ``null`` is an empty one.

    Raises:
        ShapeError: It is something else, or cannot be encoded.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ShapeError(f"{what} is not a string")
    if "\0" in value or any("\ud800" <= one <= "\udfff" for one in value):
        raise ShapeError(f"{what} has characters that no name can have")
    return value


def texts(value: Any, what: str) -> tuple[str, ...]:
    """Return an array of strings; errors as of :func:`sequence` and :func:`text`."""
    return tuple(text(item, what) for item in sequence(value, what))
