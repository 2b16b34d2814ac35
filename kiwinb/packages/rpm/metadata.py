"""Metadata of rpm-md repositories.

Of each repository, a state has the index (``repomd.xml``), its signature, and the metadata without
compression. The index states the digests of all else.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kiwinb.packages import indexed
from kiwinb.packages.fetch import Wanted, fetch
from kiwinb.packages.manager import RepositoryState, ResolvedRepository
from kiwinb.packages.rpm.repomd import REPOMD, Part, Repomd, damaged_index
from kiwinb.packages.signatures import digest_of
from kiwinb.sandbox.decompress import BROKEN_STREAM, open_unpacked

_INDEX = "repomd.xml"
_MOST_OPEN = 4 << 30
_PIECE = 1 << 20


class RpmMd:
    """The format ``rpm-md``; see :class:`kiwinb.packages.indexed.IndexFormat`."""

    name = "rpm"
    index = _INDEX
    suffix = ".asc"

    def path(self, _repository: ResolvedRepository) -> str:
        """Return the path of the index, which is the same in all repositories."""
        return REPOMD

    def complete(self, repository: ResolvedRepository, directory: Path) -> None:
        """Download the metadata that the index lists."""
        _complete(repository, directory)

    def date(self, directory: Path) -> int:
        """Return when the index was made."""
        return _read(directory).date

    def strange(self, directory: Path) -> set[str]:
        """Return the names of files whose digests are not those that the index states."""
        parts = _read(directory).parts
        there = {file.name for file in directory.iterdir()}
        wrong = there ^ {_INDEX, *parts, *(there & {_INDEX + self.suffix})}
        return wrong | {
            kind
            for kind, part in parts.items()
            if kind in there
            and digest_of(directory / kind, len(part.open_digest)) != part.open_digest
        }


RPM_MD = RpmMd()


def refresh(
    repositories: Sequence[ResolvedRepository], arch: str, cache: Path, *, force: bool
) -> RepositoryState:
    """Read metadata of repositories, or reuse it; see :func:`kiwinb.packages.indexed.refresh`."""
    return indexed.refresh(RPM_MD, repositories, arch, cache, force=force)


def checked(state: RepositoryState) -> Path:
    """Check the metadata of a state; see :func:`kiwinb.packages.indexed.checked`."""
    return indexed.checked(RPM_MD, state)


def _read(directory: Path) -> Repomd:
    return Repomd.read((directory / _INDEX).read_bytes())


def _complete(repository: ResolvedRepository, directory: Path) -> None:
    try:
        parts = _read(directory).parts.values()
    except ValueError as error:
        raise damaged_index(repository, error) from None
    packed = {part: directory / f".{part.kind}" for part in parts}
    fetch(
        repository,
        [Wanted(part.path, file, part.size, part.digest) for part, file in packed.items()],
    )
    for part, file in packed.items():
        _unpack(repository, part, file, directory / part.kind)
        file.unlink()


def _unpack(repository: ResolvedRepository, part: Part, packed: Path, target: Path) -> None:
    most = _MOST_OPEN if part.open_size is None else part.open_size
    try:
        with open_unpacked(packed) as source, target.open("wb") as file:
            while file.tell() <= most and (piece := source.read(_PIECE)):
                file.write(piece)
    except BROKEN_STREAM as error:
        raise damaged_index(repository, f"its {part.kind} metadata is damaged: {error}") from None
    if digest_of(target, len(part.open_digest)) != part.open_digest:
        raise damaged_index(repository, f"its {part.kind} metadata is not what it states")
