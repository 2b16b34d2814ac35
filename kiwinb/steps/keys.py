"""Content keys: the SHA-256 of a canonical text of frozen data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

Digest = str
"""A SHA-256 as 64 hexadecimal digits."""

NOT_IN_KEY: Mapping[str, bool] = {"kiwinb.key": False}
"""``field(metadata=NOT_IN_KEY)`` leaves a dataclass field out of the key."""


@dataclass(frozen=True)
class Source:
    """A file or directory of the host that a step reads. Keys cover its content, not its location.

    Attributes:
        digest: Digest of names, types, modes, owners, extended attributes and contents.
        path: Its current location.
    """

    digest: Digest
    path: Path = field(metadata=NOT_IN_KEY)


def keyed_fields(value: object) -> Iterator[tuple[str, Any]]:
    """The fields of a dataclass that a key includes, as (name, value)."""
    if not is_dataclass(value):
        raise TypeError(f"{value!r} is not a dataclass")
    for item in fields(value):
        if item.metadata.get("kiwinb.key", True):
            yield item.name, getattr(value, item.name)


def canonical(value: object) -> Any:
    """The canonical form of a value in JSON types; equal in all processes for equal values.

    Raises:
        TypeError: Part of the value has no canonical form.
    """
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, Path):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        data = {name: canonical(item) for name, item in keyed_fields(value)}
        return {"": type(value).__qualname__, **data}
    if isinstance(value, Mapping):
        return {str(name): canonical(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [canonical(item) for item in value]
    if isinstance(value, Set):
        return sorted(canonical(item) for item in value)
    raise TypeError(f"no canonical form for {type(value).__name__}")


def digest(value: object) -> Digest:
    """SHA-256 of the canonical form of a value."""
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
