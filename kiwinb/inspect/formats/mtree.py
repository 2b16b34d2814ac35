"""Read lists of files in the format of mtree(5), from BSD, bsdtar or ``kiwinb inspect mtree``.

A list has sizes, owners, modes, times and digests, but no contents. Two trees can be compared by
their lists alone, so there is no need to keep images for comparison.

Both forms can be read: full paths (``./etc/motd``), and names relative to the last directory, which
``..`` leaves.

A list that was cut off is refused where the list shows that it is not whole: its last line has no
end, a directory of the second form is not left, or it has fewer paths than kiwinb has counted.

Sources of the format: mtree(5) and vis(3) of FreeBSD and libarchive.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kiwinb.errors import InspectError
from kiwinb.inspect.formats.indexed import Facts, IndexedTree, Rows
from kiwinb.inspect.formats.members import clean
from kiwinb.inspect.formats.window import DamagedError, UnsupportedError, Window
from kiwinb.inspect.tree import Hole

SIGNATURE = "#mtree"
"""First line of lists from bsdtar and kiwinb."""

COUNT = "# paths: "
"""Beginning of the second line of lists from kiwinb, before the number of paths that follow."""

HARD_LINK = "hardlink"
"""Beginning of a tag that, with a number, all paths of the same file have in common."""

TYPES: Mapping[str, int] = {
    "file": stat.S_IFREG,
    "dir": stat.S_IFDIR,
    "link": stat.S_IFLNK,
    "fifo": stat.S_IFIFO,
    "socket": stat.S_IFSOCK,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
}
"""File type bits, by value of the keyword ``type``."""

BLOCK = 4096
"""Block size in bytes. Lists have no disk usage, so files are assumed to take whole blocks."""

_DIGESTS = ("sha256", "sha256digest")
_MOST = 256 << 20
_PROBED = 4096
_ENTRY = re.compile(rb"[^\s=]+\s(.*\s)?(type|mode|size|uid|time)=\S")
_COUNTED = re.compile(re.escape(f"{SIGNATURE}\n{COUNT}").encode() + rb"(\d{1,18})\n")
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2}|M[-^].|M\^?.|\^.|.)", re.DOTALL)
_PLAIN_ESCAPES = {
    b"a": b"\a", b"b": b"\b", b"E": b"\x1b", b"f": b"\f", b"n": b"\n",
    b"r": b"\r", b"s": b" ", b"t": b"\t", b"v": b"\v",
}  # fmt: skip

Words = dict[str, str]


class MtreeTree(IndexedTree):
    """A list of a tree, which has digests of files, but not their content."""

    what = "a list of files (mtree)"
    has_contents = False

    def __init__(self, window: Window, name: str) -> None:
        super().__init__(name)
        self._window = window

    @staticmethod
    def probe(window: Window) -> bool:
        """Tell whether the first line that is neither empty nor a comment looks like a list."""
        begin = window.peek(0, _PROBED)
        if begin.startswith(SIGNATURE.encode()):
            return True
        if b"\0" in begin:
            return False
        for line in begin.splitlines():
            if line.strip() and not line.lstrip().startswith(b"#"):
                return line.startswith(b"/set ") or bool(_ENTRY.match(line))
        return False

    def _list(self, rows: Rows) -> None:
        entries = read_entries(self._window)
        counts: dict[int, int] = {}
        for facts, _digest in entries.values():
            if facts.inode:
                counts[facts.inode] = counts.get(facts.inode, 0) + 1
        free = max(counts, default=0)
        for path, (facts, digest) in entries.items():
            inode, links = facts.inode, facts.links
            if not inode:
                free += 1
                inode = free
            elif not stat.S_ISDIR(facts.mode):
                links = max(links, counts[inode])
            rows.add(path, facts._replace(inode=inode, links=links), digest)

    def _pieces(self, place: Any, size: int) -> Iterator[bytes | Hole]:
        raise UnsupportedError(
            "it does not have the content of files",
            "Open the tree or the image from which the list was made.",
        )

    def digests(self, paths: Sequence[str]) -> Mapping[str, str]:
        """Return the SHA-256 digests of several files, by path.

        Raises:
            InspectError: A path is not a file, or the list has no SHA-256 of it.
        """
        found = {path: self._find(path)[0] for path in paths}
        for path, digest in found.items():
            if not digest:
                raise InspectError(
                    f"{self.name} has no SHA-256 of {path}, so contents cannot be compared",
                    remedy="Write it again with `kiwinb inspect mtree`, or with bsdtar and "
                    "--options='mtree:all'.",
                )
        return found

    def close(self) -> None:
        """Close the file."""
        self._window.close()


def read_entries(window: Window) -> dict[str, tuple[Facts, str]]:
    """Read the metadata and the SHA-256, or an empty string, of each path in a list.

    The inode is 0 if the list does not say which paths are hard links to the same file.
    """
    if window.size > _MOST:
        raise DamagedError(f"it is larger than {_MOST >> 20} MiB")
    defaults: Words = {}
    entries: dict[str, tuple[Facts, str]] = {}
    numbers: dict[tuple[str, str], int] = {}
    at: list[str] = []
    content = window.read(0, window.size)
    for number, line in _lines(content):
        name, *rest = line.split()
        words = _words(rest)
        if name == b"/set":
            defaults |= words
        elif name == b"/unset":
            for word in rest:
                defaults.pop(word.decode("ascii", "replace"), None)
        elif name.startswith(b"/"):
            continue  # an unknown command
        elif name == b"..":
            del at[-1:]
        else:
            path = _decoded(name).decode("utf-8", "surrogateescape")
            words = defaults | words
            if "/" in path:
                full = clean(path)
            else:
                full = clean("/".join((*at, path)))
                if words.get("type") == "dir":
                    at.append(path)
            try:
                entries[full] = _entry(words, numbers)
            except ValueError as error:
                raise DamagedError(f"line {number}: {error}") from error
    _check_end(content, len(entries), [name for name in at if name != "."])
    return entries


def _check_end(content: bytes, paths: int, inside: Sequence[str]) -> None:
    """Check that a list is whole, as far as it shows this."""
    if not content.endswith(b"\n"):
        raise DamagedError("it ends early, in the middle of a line")
    if inside:
        raise DamagedError(f"it ends early, in the directory {'/'.join(inside)}")
    if (told := _COUNTED.match(content)) and int(told[1]) != paths:
        raise DamagedError(f"it has {paths} paths of {int(told[1])}")


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield lines that are not empty, with their numbers; continued lines are joined."""
    begun = b""
    for number, raw in enumerate(content.split(b"\n"), 1):
        line = raw.rstrip(b"\r")
        if not begun and line.lstrip().startswith(b"#"):
            continue
        if line.endswith(b"\\") and not line.endswith(b"\\\\"):
            begun += line[:-1] + b" "
            continue
        whole = (begun + line).strip()
        begun = b""
        if whole:
            yield number, whole


def _words(words: Sequence[bytes]) -> Words:
    found: Words = {}
    for word in words:
        key, _, value = word.partition(b"=")
        found[key.decode("ascii", "replace")] = value.decode("utf-8", "surrogateescape")
    return found


def _entry(words: Words, numbers: dict[tuple[str, str], int]) -> tuple[Facts, str]:
    kind = TYPES.get(words.get("type", "file"))
    if kind is None:
        raise ValueError(f"there is no type {words['type']!r}")
    if kind == stat.S_IFLNK:
        permissions = 0o777  # as always on Linux
    else:
        permissions = _number(words, "mode", 0o755 if kind == stat.S_IFDIR else 0o644, base=8)
    size = _number(words, "size", 0) if kind == stat.S_IFREG else 0
    links = _number(words, "nlink", 1)
    inode = 0
    identity = _identity(words)
    if identity and kind != stat.S_IFDIR and links > 1:
        inode = numbers.setdefault(identity, len(numbers) + 1)
    target = words.get("link", "") if kind == stat.S_IFLNK else ""
    facts = Facts(
        mode=kind | permissions & 0o7777,
        uid=_number(words, "uid", 0),
        gid=_number(words, "gid", 0),
        links=links,
        size=size,
        allocated=-(-size // BLOCK) * BLOCK or (BLOCK if kind == stat.S_IFDIR else 0),
        inode=inode,
        mtime=_number({"time": words.get("time", "0").partition(".")[0]}, "time", 0),
        target=_decoded(target.encode("utf-8", "surrogateescape")),
    )
    digest = next((words[name].lower() for name in _DIGESTS if name in words), "")
    if digest and not re.fullmatch("[0-9a-f]{64}", digest):
        raise ValueError(f"{digest!r} is no SHA-256")
    return facts, digest


def _identity(words: Words) -> tuple[str, str] | None:
    """Return what all paths of the same file have in common; ``None`` if the list does not say."""
    if "inode" in words:  # as bsdtar writes it
        return words.get("resdevice", ""), words["inode"]
    tags = words.get("tags", "").split(",")
    return next((("tag", tag) for tag in tags if tag.startswith(HARD_LINK)), None)


def _number(words: Words, name: str, default: int, base: int = 10) -> int:
    if name not in words:
        return default
    try:
        return int(words[name], base)
    except ValueError:
        raise ValueError(f"{name}={words[name]} is no number") from None


def _decoded(name: bytes) -> bytes:
    r"""Decode the escapes of vis(3), such as ``\040``, in a name."""
    return _ESCAPE.sub(lambda found: _character(found[1]), name) if b"\\" in name else name


def _character(code: bytes) -> bytes:
    if len(code) == 3 and code.isdigit():
        return bytes([int(code, 8)])
    if code in _PLAIN_ESCAPES:
        return _PLAIN_ESCAPES[code]
    if code.startswith(b"M-"):
        return bytes([code[2] | 0x80])
    if code.startswith(b"M^") and len(code) == 3:
        return bytes([code[2] & 0x1F | 0x80 if code[2] != ord("?") else 0xFF])
    if code.startswith(b"^") and len(code) == 2:
        return bytes([code[1] & 0x1F if code[1] != ord("?") else 0x7F])
    return code
