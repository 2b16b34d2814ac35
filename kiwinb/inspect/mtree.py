"""Write a list of a tree in the format of mtree(5), to compare with it when the tree is gone.

The list has only keywords that Debian's mtree(8) accepts, so mtree and bsdtar can read it. No such
keyword says which paths are hard links to the same file; the list says so with ``tags``, which
mtree ignores unless it is told to select by them. A comment says how many paths follow, so that a
list that was cut off is not taken for a smaller tree. kiwinb can open the list as a tree without
contents; see :mod:`kiwinb.inspect.formats.mtree`.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from kiwinb.errors import InspectError
from kiwinb.inspect.formats.mtree import COUNT, HARD_LINK, SIGNATURE
from kiwinb.inspect.opening import Source, opened
from kiwinb.inspect.tree import PLAIN_DIGEST, Tree
from kiwinb.paths import normalised

_TYPES = {"directory": "dir", "symlink": "link"}
_SET = {"type": "file", "uid": "0", "gid": "0", "mode": "0644"}
_SPECIAL = re.compile(rb"[^!-~]|[\\#=*?\[]")


def write(source: Source, path: str | os.PathLike[str]) -> Path:
    """Write the list of a tree.

    The list has type, mode, owner, size, time, target and SHA-256 of each path, sorted by path, so
    equal trees give equal files.

    Args:
        source: A root tree, an image, a checkpoint, or a path.
        path: The file to write; it is compressed if its name ends with ``.gz``.

    Returns:
        The path of the file.

    Raises:
        InspectError: The tree cannot be read, or the file cannot be written.
    """
    file = normalised(path)
    with opened(source) as tree:
        content = b"".join(f"{line}\n".encode() for line in lines(tree))
    if file.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    try:
        file.write_bytes(content)
    except OSError as error:
        raise InspectError(f"{file} cannot be written: {error.strerror}") from error
    return file


def lines(tree: Tree) -> Iterator[str]:
    """Yield the lines of the list of a tree.

    Raises:
        InspectError: The tree cannot be read.
    """
    table = tree.scan()
    digests = _digests(tree, table)
    yield SIGNATURE
    yield f"{COUNT}{len(table)}"
    yield f"/set {_joined(_SET)}"
    linked = table["inode"].duplicated(keep=False) & table["type"].ne("directory")
    numbers: dict[int, int] = {}
    rows: Iterable[Any] = table.itertuples(index=False)
    for row, is_linked in zip(rows, linked, strict=True):
        kind = _TYPES.get(row.type, row.type)
        words = {"type": kind, "uid": f"{row.uid}", "gid": f"{row.gid}", "mode": f"{row.mode:04o}"}
        words = {name: value for name, value in words.items() if value != _SET[name]}
        if kind == "link":
            words["link"] = escaped(row.target)
        if kind == "file":
            words["size"] = f"{row.size}"
        if is_linked:
            number = numbers.setdefault(row.inode, len(numbers) + 1)  # the tree's numbers may vary
            words |= {"nlink": f"{row.links}", "tags": f"{HARD_LINK}{number}"}
        words["time"] = f"{row.mtime}.0"
        if row.path in digests:
            words["sha256"] = digests[row.path]
        name = "." if row.path == "/" else f".{row.path}"
        yield f"{escaped(name)} {_joined(words)}"


def escaped(text: str) -> str:
    r"""Escape a path for a list: non-ASCII and special characters become ``\ooo``."""
    raw = text.encode("utf-8", "surrogateescape")
    return _SPECIAL.sub(lambda found: b"\\%03o" % found[0][0], raw).decode("ascii")


def _joined(words: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in words.items())


def _digests(tree: Tree, table: pd.DataFrame) -> dict[str, str]:
    """Return the SHA-256 of each file, by path."""
    files = table[table["type"].eq("file")]
    plain = files["size"].le(PLAIN_DIGEST)
    found = dict(tree.digests(files.loc[plain, "path"].tolist()))
    for path in files.loc[~plain, "path"] if tree.has_contents else ():
        found[path] = hashlib.sha256(tree.read(path)).hexdigest()
    return found
