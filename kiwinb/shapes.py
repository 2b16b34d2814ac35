"""Take data apart that others wrote, and say what is wrong with its shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kiwinb.typed_json import WrongData


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """Return an object of JSON; ``null`` is an empty one.

    Raises:
        WrongData: It is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise WrongData(f"{what} is not an object")
    return value


def sequence(value: Any, what: str) -> Sequence[Any]:
    """Return an array of JSON; ``null`` is an empty one.

    Raises:
        WrongData: It is something else.
    """
    if value is None:
        return ()
    if not isinstance(value, list):
        raise WrongData(f"{what} is not an array")
    return value


def text(value: Any, what: str) -> str:
    """Return a string of JSON; ``null`` is an empty one.

    Raises:
        WrongData: It is something else, or cannot be encoded.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise WrongData(f"{what} is not a string")
    if "\0" in value or any("\ud800" <= one <= "\udfff" for one in value):
        raise WrongData(f"{what} has characters that no name can have")
    return value


def texts(value: Any, what: str) -> tuple[str, ...]:
    """Return an array of strings; errors as of :func:`sequence` and :func:`text`."""
    return tuple(text(item, what) for item in sequence(value, what))
