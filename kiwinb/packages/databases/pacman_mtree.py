"""Read the lists of files that packages of pacman bring, in the format of mtree(5)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterator

from kiwinb.packages.databases.bounds import damaged
from kiwinb.packages.databases.database import StatedFile

_TYPES = {"dir": "directory", "link": "symlink"}
_DIGESTS = {"sha256digest": "sha256", "sha256": "sha256", "md5digest": "md5", "md5": "md5"}
_ESCAPED = re.compile(rb"\\([0-3][0-7]{2})")
_MOST = 1 << 26
"""Largest size of a list in bytes."""

_GZIP = zlib.MAX_WBITS | 16


def stated(content: bytes, path: str, config: Collection[str]) -> Iterator[StatedFile]:
    """Yield what a list states about the paths of a package.

    Args:
        content: The list, compressed with gzip or not.
        path: Path of the list, for errors.
        config: Paths of configuration files.

    Raises:
        InspectError: The list is damaged.
    """
    if content.startswith(b"\x1f\x8b"):
        unpacker = zlib.decompressobj(_GZIP)
        try:
            content = unpacker.decompress(content, _MOST)
        except zlib.error as error:
            raise damaged(path, f"it cannot be unpacked: {error}") from error
        if not unpacker.eof:
            raise damaged(path, "it is cut off, or too large")
    common: dict[str, str] = {}
    for number, line in enumerate(content.split(b"\n"), 1):
        words = line.split()
        if not words or words[0].startswith(b"#"):
            continue
        values = dict(_pair(word) for word in words[1:])
        if words[0] == b"/set":
            common |= values
        elif words[0] == b"/unset":
            common = {name: value for name, value in common.items() if name not in values}
        elif words[0].startswith(b"./"):
            name = _plain(words[0][1:])
            if name.count("/") > 1 or not name.startswith("/."):  # not .PKGINFO and the like
                yield _file(name, common | values, f"{path}:{number}", name in config)
        else:
            raise damaged(f"{path}:{number}", f"not a path: {_plain(words[0])[:60]!r}")


def _pair(word: bytes) -> tuple[str, str]:
    name, _, value = word.partition(b"=")
    return _plain(name), _plain(value)


def _plain(word: bytes) -> str:
    return _ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), word).decode(
        "utf-8", "surrogateescape"
    )


def _file(name: str, values: dict[str, str], where: str, config: bool) -> StatedFile:
    kind = values.get("type", "file")
    try:
        size = int(values["size"]) if "size" in values else None
        mode = int(values["mode"], 8) & 0o7777 if "mode" in values else None
    except ValueError as error:
        raise damaged(where, f"not a number: {error}") from error
    digest = next(
        (f"{said}:{values[word]}" for word, said in _DIGESTS.items() if word in values), None
    )
    return StatedFile(
        path=name,
        kind=_TYPES.get(kind, kind),
        size=size if kind == "file" else None,
        mode=mode if kind != "link" else None,
        digest=digest if kind == "file" else None,
        target=values.get("link") if kind == "link" else None,
        config=config,
    )
