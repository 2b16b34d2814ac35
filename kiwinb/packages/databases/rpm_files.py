"""Read what a header of rpm says of the files of its package."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from typing import TypeVar

from kiwinb.checkpoints.treescan import KIND_OF
from kiwinb.packages.databases.bounds import PATH_COST, Allowance, damaged
from kiwinb.packages.databases.database import StatedFile
from kiwinb.packages.databases.rpm_header import Header, Tag

_CONFIG, _MISSING_OK, _GHOST = 1, 8, 64
_CHECK_DIGEST, _CHECK_SIZE, _CHECK_TARGET, _CHECK_MODE = 1, 2, 4, 64
_CHECK_ALL = 0xFFFFFFFF
_NORMAL = 0
_MD5 = 1
_ALGORITHMS = {_MD5: "md5", 2: "sha1", 8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224"}
T = TypeVar("T")


def paths(header: Header, room: Allowance) -> Iterator[str]:
    """Yield the paths of a package.

    Args:
        header: The header of the package.
        room: The number of characters that all paths may have.

    Raises:
        InspectError: The header is damaged.
    """
    names = header.strings(Tag.BASENAMES)
    places = header.numbers(Tag.DIRINDEXES)
    directories = header.strings(Tag.DIRNAMES)
    if not names:
        yield from header.strings(Tag.OLDFILENAMES)
        return
    if len(names) != len(places) or max(places) >= len(directories):
        raise damaged("the database of rpm", f"the list of files of {header.text(Tag.NAME)}")
    for name, place in zip(names, places, strict=True):
        path = directories[place] + name
        room.take(len(path) + PATH_COST)
        yield path.rstrip("/") or "/"


def stated(header: Header, room: Allowance) -> Iterator[StatedFile]:
    """Yield what the header states about each path that is installed.

    Args:
        header: The header of the package.
        room: The number of characters that all paths may have.

    Raises:
        InspectError: The header is damaged.
    """
    modes, states = header.numbers(Tag.FILEMODES), header.numbers(Tag.FILESTATES)
    sizes = header.numbers(Tag.LONGFILESIZES) or header.numbers(Tag.FILESIZES)
    flags, checks = header.numbers(Tag.FILEFLAGS), header.numbers(Tag.FILEVERIFYFLAGS)
    digests, targets = header.strings(Tag.FILEDIGESTS), header.strings(Tag.FILELINKTOS)
    algorithm = _ALGORITHMS.get(header.number(Tag.FILEDIGESTALGO) or _MD5)
    for place, path in enumerate(paths(header, room)):
        if _at(states, place, _NORMAL) != _NORMAL:
            continue
        flag, check = _at(flags, place, 0), _at(checks, place, _CHECK_ALL)
        mode = _at(modes, place, None)
        kind = None if mode is None else KIND_OF.get(stat.S_IFMT(mode))
        whole = kind == "file" and not flag & _GHOST
        digest = _at(digests, place, "")
        yield StatedFile(
            path=path,
            kind=kind,
            size=_at(sizes, place, None) if whole and check & _CHECK_SIZE else None,
            mode=(
                stat.S_IMODE(mode)
                if mode is not None and kind != "symlink" and check & _CHECK_MODE
                else None
            ),
            digest=(
                f"{algorithm}:{digest}"
                if whole and digest and algorithm and check & _CHECK_DIGEST
                else None
            ),
            target=(
                _at(targets, place, None)
                if kind == "symlink" and check & _CHECK_TARGET and not flag & _GHOST
                else None
            ),
            config=bool(flag & _CONFIG),
            optional=bool(flag & (_MISSING_OK | _GHOST)),
        )


def _at(values: Sequence[T], place: int, default: T) -> T:
    return values[place] if place < len(values) else default
