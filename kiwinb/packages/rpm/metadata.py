"""Metadata of rpm-md repositories.

Of each repository, a state has the index (``repomd.xml``), its signature, and the metadata without
compression. The index states the digests of all else.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kiwinb.clock import clock_hint
from kiwinb.errors import RepositoryError
from kiwinb.packages import indexed
from kiwinb.packages.fetch import Wanted, fetch
from kiwinb.packages.indexed import directory_of
from kiwinb.packages.keys import content_of_key
from kiwinb.packages.manager import RepositoryState, ResolvedRepository
from kiwinb.packages.rpm.repomd import REPOMD, Part, Repomd, damaged_index
from kiwinb.packages.signatures import digest_of, is_signed_by
from kiwinb.sandbox.decompress import BROKEN_STREAM, open_unpacked

_INDEX = "repomd.xml"
_SIGNATURE = "repomd.xml.asc"
_MOST_OPEN = 4 << 30
_PIECE = 1 << 20


def is_signed(state: Path, number: int) -> bool:
    """Tell whether the index of a repository has a signature, which has been checked then."""
    return (directory_of(state, number) / _SIGNATURE).exists()


class RpmMd:
    """The format ``rpm-md``; see :class:`kiwinb.packages.indexed.IndexFormat`."""

    name = "rpm"
    index = _INDEX

    def download(self, repository: ResolvedRepository, directory: Path) -> None:
        """Download the index, its signature, and the metadata that it lists."""
        _fetch_one(repository, directory)

    def check_signature(self, repository: ResolvedRepository, directory: Path) -> None:
        """Check the signature; without one, those of packages are checked instead."""
        if not (directory / _SIGNATURE).exists():
            if repository.index_required or repository.packages_checked is False:
                raise _unsigned(repository)
            return
        keys = [content_of_key(key, repository.alias) for key in repository.keys]
        if not is_signed_by(directory / _INDEX, keys, directory / _SIGNATURE):
            raise RepositoryError(
                f"the index of the repository {repository.alias} is not signed with the keys that "
                f"the description names: {', '.join(str(key.path) for key in repository.keys)}",
                remedy="Name the file with its key in <signing key=…/> if you trust it. "
                + clock_hint(),
            )

    def date(self, directory: Path) -> int:
        """Return when the index was made."""
        return _read(directory).date

    def strange(self, directory: Path) -> set[str]:
        """Return the names of files whose digests are not those that the index states."""
        parts = _read(directory).parts
        there = {file.name for file in directory.iterdir()}
        wrong = there ^ {_INDEX, *parts, *(there & {_SIGNATURE})}
        return wrong | {
            kind
            for kind, part in parts.items()
            if kind in there
            and digest_of(directory / kind, len(part.open_digest)) != part.open_digest
        }


_FORMAT = RpmMd()


def refresh(
    repositories: Sequence[ResolvedRepository], arch: str, cache: Path, *, force: bool
) -> RepositoryState:
    """Read metadata of repositories, or reuse it; see :func:`kiwinb.packages.indexed.refresh`."""
    return indexed.refresh(_FORMAT, repositories, arch, cache, force=force)


def checked(state: RepositoryState) -> Path:
    """Check the metadata of a state; see :func:`kiwinb.packages.indexed.checked`."""
    return indexed.checked(_FORMAT, state)


def _read(directory: Path) -> Repomd:
    return Repomd.read((directory / _INDEX).read_bytes())


def _fetch_one(repository: ResolvedRepository, directory: Path) -> None:
    index = directory / _INDEX
    fetch(
        repository,
        [
            Wanted(REPOMD, index),
            Wanted(f"{REPOMD}.asc", directory / _SIGNATURE, optional=True),
        ],
    )
    try:
        parts = Repomd.read(index.read_bytes()).parts.values()
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


def _unsigned(repository: ResolvedRepository) -> RepositoryError:
    return RepositoryError(
        f"the index of the repository {repository.alias} has no signature ({REPOMD}.asc)",
        remedy='Set package_gpgcheck="true" to check the signatures of its packages instead, or '
        'repository_gpgcheck="false" to use it unchecked.',
    )
