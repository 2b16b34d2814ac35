"""Metadata of repositories of pacman: one file each, ``NAME.db``, which lists all packages.

NAME is the only component of the repository if the description gives one, or else its alias.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kiwinb.errors import InspectError, RepositoryError
from kiwinb.packages import indexed
from kiwinb.packages.databases.pacman import Sections, sections_of
from kiwinb.packages.manager import RepositoryState, ResolvedRepository
from kiwinb.packages.signatures import is_strong
from kiwinb.sandbox.decompress import BROKEN_STREAM, open_unpacked
from kiwinb.steps.keys import Digest

INDEX = "db"
_MOST_OPEN = 1 << 30
_NAME = re.compile(r"[A-Za-z0-9@_+][A-Za-z0-9@._+-]*")
_FILE = re.compile(r"[A-Za-z0-9@_+][A-Za-z0-9@._+:~-]*")


@dataclass(frozen=True)
class Listed:
    """A package that a repository lists.

    Attributes:
        sections: All that the repository says of it.
        file: Name of its file.
        size: Size of the file in bytes.
        digest: SHA-256 of the file.
    """

    sections: Sections
    file: str
    size: int
    digest: Digest

    def one(self, name: str) -> str:
        """Return the first line of a section; empty if there is none."""
        return next(iter(self.sections.get(name, ())), "")

    def number(self, name: str) -> int:
        """Return the number in a section; 0 if there is none."""
        text = self.one(name)
        return int(text) if text.isdecimal() and len(text) < 19 else 0


def repository_name(repository: ResolvedRepository) -> str:
    """Return the name of a repository in terms of pacman.

    Raises:
        RepositoryError: It has several components, or pacman does not allow the name.
    """
    names = repository.components or (repository.alias,)
    if len(names) != 1 or not _NAME.fullmatch(names[0]) or names[0] in ("options", "local"):
        raise RepositoryError(
            f"the repository {repository.alias} has no name that pacman allows: {' '.join(names)}",
            remedy="Give each <repository> one name in components=…, which is the name of its file "
            ".db; letters, digits and @ . _ + - are allowed.",
        )
    return names[0]


def listed(directory: Path) -> Mapping[str, Listed]:
    """Read the packages of a repository, by name.

    Args:
        directory: Directory of the repository in a state.

    Raises:
        ValueError: The index is damaged.
    """
    found = {}
    try:
        for path, text in _texts(directory / INDEX):
            sections = sections_of(text, path)
            item = _listed(sections)
            found[item.one("NAME")] = item
    except (*BROKEN_STREAM, tarfile.TarError, InspectError, UnicodeDecodeError) as error:
        raise ValueError(f"its index is damaged: {error}") from None
    return found


def _texts(file: Path) -> Iterator[tuple[str, str]]:
    room = _MOST_OPEN
    with open_unpacked(file) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            room -= member.size
            if room < 0:
                raise ValueError("its index is too large")
            content = archive.extractfile(member) if member.isreg() else None
            if content is not None and member.name.endswith("/desc"):
                yield member.name, content.read().decode()
        while stream.read(1 << 20):  # up to the checksum at its end
            pass


def _listed(sections: Sections) -> Listed:
    def one(name: str) -> str:
        return next(iter(sections.get(name, ())), "")

    name, file, size, digest = one("NAME"), one("FILENAME"), one("CSIZE"), one("SHA256SUM")
    if not _NAME.fullmatch(name) or not _FILE.fullmatch(file) or not one("VERSION"):
        raise ValueError(f"its index lists a package without a proper name: {name!r}, {file!r}")
    if len(digest) != 64 or not is_strong(digest) or not size.isdecimal() or len(size) > 15:
        raise ValueError(f"its index does not state the SHA-256 digest and the size of {file}")
    return Listed(sections, file, int(size), digest)


class PacmanDb:
    """The format; see :class:`kiwinb.packages.indexed.IndexFormat`."""

    name = "pacman"
    index = INDEX
    suffix = ".sig"

    def path(self, repository: ResolvedRepository) -> str:
        """Return the path of the index: ``NAME.db``."""
        return f"{repository_name(repository)}.db"

    def complete(self, repository: ResolvedRepository, directory: Path) -> None:
        """Read the index once, which has everything."""
        try:
            listed(directory)
        except ValueError as error:
            raise RepositoryError(
                f"the repository {repository.alias} cannot be used: {error}",
                remedy="Try again later, or use another mirror.",
            ) from None

    def date(self, directory: Path) -> int:
        """Return when the newest package was built."""
        return max((item.number("BUILDDATE") for item in listed(directory).values()), default=0)

    def strange(self, directory: Path) -> set[str]:
        """Return files that are neither the index nor its signature."""
        return {file.name for file in directory.iterdir()} - {INDEX, INDEX + self.suffix}


PACMAN_DB = PacmanDb()


def refresh(
    repositories: Sequence[ResolvedRepository], arch: str, cache: Path, *, force: bool
) -> RepositoryState:
    """Read metadata of repositories, or reuse it; see :func:`kiwinb.packages.indexed.refresh`."""
    return indexed.refresh(PACMAN_DB, repositories, arch, cache, force=force)


def checked(state: RepositoryState) -> Path:
    """Check the metadata of a state; see :func:`kiwinb.packages.indexed.checked`."""
    return indexed.checked(PACMAN_DB, state)
