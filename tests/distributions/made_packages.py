"""What a package is, whatever its format: relations, scripts and files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

EPOCH = 1_704_067_200
"""The time at which everything is made, and to which newer files are set back: 2024-01-01 UTC."""

_RELATION = re.compile(
    r"(?P<name>[^\s:(]+)(:\w+)?\s*(\((?P<op><<|<=|=|>=|>>|<|>)\s*(?P<version>[^)\s]+)\s*\))?"
)
_OPERATORS = {"<<": "<", ">>": ">"}


@dataclass(frozen=True)
class Version:
    """A version as Debian writes it: ``[EPOCH:]UPSTREAM[-REVISION]``.

    Attributes:
        epoch: The number before the colon; 0 if there is none.
        upstream: What is between.
        revision: What follows the last hyphen; empty if there is none.
    """

    epoch: int
    upstream: str
    revision: str

    @staticmethod
    def of(text: str) -> Version:
        """Read a version."""
        epoch, colon, rest = text.rpartition(":")
        upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
        return Version(int(epoch) if colon else 0, upstream, revision)


@dataclass(frozen=True)
class Relation:
    """A relation to a package, or to something that packages provide.

    Attributes:
        name: Its name.
        operator: One of ``<``, ``<=``, ``=``, ``>=``, ``>``; empty if any version does.
        version: The version; ``None`` if any does.
    """

    name: str
    operator: str = ""
    version: Version | None = None

    @staticmethod
    def of(text: str) -> Relation:
        """Read a relation, such as ``name (>= 1.0)``.

        Raises:
            ValueError: It is none.
        """
        if not (match := _RELATION.fullmatch(text.strip())):
            raise ValueError(f"{text!r} is no relation")
        operator = match["op"] or ""
        version = Version.of(match["version"]) if operator else None
        return Relation(match["name"], _OPERATORS.get(operator, operator), version)


Alternatives = tuple[Relation, ...]
"""Relations of which one has to hold; mostly there is just one."""


def relations(text: str) -> tuple[Alternatives, ...]:
    """Read a relation field: ``a, b (>= 1) | c``."""
    groups = (group.split("|") for group in text.split(",") if group.strip())
    return tuple(tuple(Relation.of(item) for item in group) for group in groups)


@dataclass(frozen=True)
class Entry:
    """A file of a package.

    Attributes:
        path: Its path, without a slash at the beginning.
        kind: ``file``, ``directory``, ``symlink`` or ``hardlink``.
        mode: Its permissions.
        owner: Name of its owner.
        group: Name of its group.
        data: Content of a file.
        target: What a symbolic link says, or the path of the file that a hard link is another
            name of.
        mtime: Time of its last change.
        config: Whether it is a configuration file.
        capability: Its capabilities, as cap_from_text(3) reads them.
        doc: Whether it is documentation.
        lang: The language that it is for.
        ghost: Whether the package only owns the path, without a file.
    """

    path: str
    kind: str = "file"
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    data: bytes = field(default=b"", repr=False)
    target: str = ""
    mtime: int = EPOCH
    config: bool = False
    capability: str = ""
    doc: bool = False
    lang: str = ""
    ghost: bool = False


def directory(path: str, mode: int = 0o755, owner: str = "root", group: str = "root") -> Entry:
    """Describe a directory."""
    return Entry(path, "directory", mode, owner, group)


def symlink(path: str, target: str) -> Entry:
    """Describe a symbolic link."""
    return Entry(path, "symlink", 0o777, target=target)


def text(path: str, content: str, mode: int = 0o644, **more: str | bool) -> Entry:
    """Describe a text file."""
    return Entry(path, mode=mode, data=content.encode(), **more)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Scripts:
    """What a package runs when it is installed, updated or removed, as bodies for ``sh``.

    Attributes:
        pre: Before its installation.
        post: After its installation.
        preun: Before its removal.
        postun: After its removal.
        lua_post: After its installation, for rpm's Lua interpreter; only where ``post`` is empty.
        watched: A directory; after transactions that add files below it, ``triggered`` runs.
        triggered: What runs then; it reads the paths from its standard input.
        needs: Names of packages that have to be there before ``pre`` runs.
    """

    pre: str = ""
    post: str = ""
    preun: str = ""
    postun: str = ""
    lua_post: str = ""
    watched: str = ""
    triggered: str = ""
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Package:
    """A package.

    Attributes:
        name: Its name.
        version: Its version.
        arch: ``x86_64`` or ``noarch``.
        summary: What it is, in a line.
        entries: Its files.
        requires: What it needs.
        recommends: What is installed with it where weak dependencies count.
        provides: What it provides besides its own name.
        conflicts: What it cannot be installed with.
        obsoletes: What it replaces.
        scripts: Its scripts.
    """

    name: str
    version: Version
    arch: str = "noarch"
    summary: str = "A package for tests"
    entries: Sequence[Entry] = field(default=(), repr=False)
    requires: tuple[Alternatives, ...] = ()
    recommends: tuple[Alternatives, ...] = ()
    provides: tuple[Relation, ...] = ()
    conflicts: tuple[Relation, ...] = ()
    obsoletes: tuple[Relation, ...] = ()
    scripts: Scripts = Scripts()


def with_parents(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Yield entries, and before each the directories above it that none of them is."""
    seen = {entry.path for entry in entries}
    for entry in entries:
        for parent in reversed(PurePosixPath(entry.path).parents):
            if (path := str(parent)) != "." and path not in seen:
                seen.add(path)
                yield directory(path)
        yield entry
