"""Relative paths in overrides: where they start.

A relative path in a description starts at the description directory. A relative path in an option
of the command line starts at the working directory, as in KIWI NG. So the paths of overrides are
made absolute before they replace those of the description.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlsplit

from kiwinb.description.override import Overrides, split_repository

_SOURCE, _KEYS = 0, 6
"""Numbers of the fields of a repository in which paths are."""

_SEPARATORS = re.compile(r"[,;{}]")


def located(overrides: Overrides, directory: Path) -> Overrides:
    """Make the relative paths of overrides absolute.

    ``this:`` still names a file of the description. The values of ``set_type_attr`` stay as they
    are, because they are attributes of the description, only written elsewhere.

    Args:
        overrides: The overrides.
        directory: Absolute path of the directory at which relative paths start.
    """
    base = overrides.set_container_derived_from
    return replace(
        overrides,
        set_repo=overrides.set_repo and _repository(overrides.set_repo, directory),
        add_repo=tuple(_repository(item, directory) for item in overrides.add_repo),
        set_container_derived_from=base and _container(base, directory),
        signing_key=tuple(_key(item, directory) for item in overrides.signing_key),
        ca_cert=tuple(str(directory / item) for item in overrides.ca_cert),
    )


def _repository(text: str, directory: Path) -> str:
    parts = split_repository(text)
    if parts[_SOURCE]:
        parts[_SOURCE] = _source(parts[_SOURCE], directory)
    if len(parts) > _KEYS and (keys := re.fullmatch(r"\{(.*)\}", parts[_KEYS], re.DOTALL)):
        names = (name.strip() for name in keys[1].split(";"))
        found = ";".join(_quoted(_key(name, directory)) for name in names if name)
        parts[_KEYS] = "{" + found + "}"
    return ",".join(parts)


def _source(text: str, directory: Path) -> str:
    scheme, colon, rest = text.partition(":")
    if not colon or "/" in scheme:
        return _quoted(str(directory / text))
    if scheme in ("dir", "file") and not rest.startswith("/"):
        return f"{scheme}:{quote(str(directory))}/{rest}"
    if scheme == "iso" and not rest.startswith("/"):
        return f"iso:{directory}/{rest}"
    return text


def _key(text: str, directory: Path) -> str:
    return text if "://" in text else str(directory / text)


def _quoted(path: str) -> str:
    """Write a path with characters that separate the fields of a repository as a URL."""
    return "file://" + quote(path) if _SEPARATORS.search(path) and "://" not in path else path


def _container(text: str, directory: Path) -> str:
    url = urlsplit(text)
    if url.scheme not in ("", "file", "dir") or url.netloc or url.path.startswith("/"):
        return text
    scheme, rest = (f"{url.scheme}:", text.partition(":")[2]) if url.scheme else ("", text)
    return f"{scheme}{quote(str(directory))}/{rest}"
