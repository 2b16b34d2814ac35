"""Package lists that are held in the cache, and checks of them before each use.

Nothing in the cache is trusted. When a build is planned, the signature of each index is checked
again; the digests of the indexes are then part of the plan. Each time before apt reads the lists,
they are compared with what these indexes state.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kiwinb.clock import check_clock, clock_hint
from kiwinb.errors import HostError, RepositoryError
from kiwinb.files import replace_file
from kiwinb.packages import states
from kiwinb.packages.apt.signed import Release, quoted
from kiwinb.packages.keys import content_of_key
from kiwinb.packages.manager import RepositoryState, ResolvedRepository
from kiwinb.packages.signatures import is_signed_by, sha256_of
from kiwinb.steps.keys import Digest

_PARTS = "parts.json"
_OF_APT = frozenset({"lock", "partial", "auxfiles"})
_RELEASES = ("InRelease", "Release")


@dataclass(frozen=True)
class Part:
    """The lists of one repository.

    Attributes:
        release: File name of its index; ``None`` if it has none.
        packages: File names of its package lists.
    """

    release: str | None
    packages: tuple[str, ...]


@dataclass(frozen=True)
class Held:
    """The lists of a set of repositories, in one state.

    Attributes:
        home: Directory of the state.
        parts: The lists of each repository, in their order.
    """

    home: Path
    parts: tuple[Part, ...]

    @property
    def lists(self) -> Path:
        """The directory that apt reads."""
        return self.home / "lists"

    @staticmethod
    def read(home: Path) -> Held:
        """Read which file belongs to which repository.

        Raises:
            OSError: There are no lists.
            ValueError: The record is damaged.
        """
        record = json.loads((home / _PARTS).read_text())
        try:
            parts = tuple(Part(release, tuple(packages)) for release, packages in record)
        except TypeError as error:
            raise ValueError(str(error)) from None
        names = {name for part in parts for name in (part.release or "lock", *part.packages)}
        if any("/" in str(name) for name in names):
            raise ValueError("a list is outside of its directory")
        return Held(home, parts)

    def write(self) -> None:
        """Write the record that :meth:`read` reads."""
        rows = [[part.release, part.packages] for part in self.parts]
        replace_file(self.home / _PARTS, json.dumps(rows))

    def releases(self) -> tuple[Path | None, ...]:
        """The index of each repository; ``None`` if it has none."""
        return tuple(
            None if part.release is None else self.lists / part.release for part in self.parts
        )

    def digest(self, number: int) -> Digest:
        """The digest of a repository: that of its index, or else of its package lists."""
        part = self.parts[number]
        if part.release is not None:
            return sha256_of(self.lists / part.release)
        content = (self.lists / name for name in sorted(part.packages))
        return hashlib.sha256(b"".join(file.read_bytes() for file in content)).hexdigest()

    def date(self, number: int) -> int:
        """When a repository was made, in seconds since 1970-01-01 UTC."""
        part = self.parts[number]
        if part.release is not None:
            said = Release.read((self.lists / part.release).read_bytes()).date
            return said or int((self.lists / part.release).stat().st_mtime)
        return max(int((self.lists / name).stat().st_mtime) for name in part.packages)


def check_signatures(held: Held, repositories: Sequence[ResolvedRepository]) -> None:
    """Check that each index is signed with a key of its repository, as when it was read.

    Raises:
        RepositoryError: One is not.
    """

    def is_good(number: int) -> bool:
        repository, release = repositories[number], held.releases()[number]
        if not repository.checked:
            return True
        if release is None:
            return False
        _check_clock(held, number, repository.alias)
        keys = [content_of_key(key, repository.alias) for key in repository.keys]
        signature = release.with_name(f"{release.name}.gpg")
        is_detached = release.name.endswith("_Release")
        return is_signed_by(release, keys, signature if is_detached else None)

    with ThreadPoolExecutor() as threads:
        for repository, good in zip(
            repositories, threads.map(is_good, range(len(repositories))), strict=True
        ):
            if not good:
                raise _changed(
                    f"the index of {repository.alias} is not signed with its key", clock_hint()
                )


def _check_clock(held: Held, number: int, alias: str) -> None:
    """Tell a clock that is behind an index from an index that is not signed.

    Raises:
        RepositoryError: The clock is behind.
    """
    with suppress(OSError, ValueError):
        try:
            check_clock(held.date(number), f"the index of the repository {alias}")
        except HostError as error:
            raise RepositoryError(error.problem, remedy=error.remedy) from None


def check_lists(home: Path, digests: Sequence[tuple[str, Digest]]) -> Held:
    """Check that lists are what the indexes state, and that there are no others.

    Args:
        home: Directory of the state.
        digests: Alias of each repository, and the digest of its index.

    Raises:
        RepositoryError: They are not.
    """
    try:
        held = Held.read(home)
        if len(held.parts) != len(digests):
            raise _changed("they are of other repositories")
        for number, (alias, wanted) in enumerate(digests):
            if held.digest(number) != wanted:
                raise _changed(f"the index of {alias} is another one")
        expected = dict(_expected(held))
        sizes = {file.name: file.stat().st_size for file in held.lists.iterdir()}
        strange = sizes.keys() - _OF_APT - expected.keys()
        strange -= {name for part in held.parts for name in _without_hash(part)}
        strange |= {name for part in held.parts for name in part.packages if name not in sizes}
        names = [name for name in sizes if name in expected]
        with ThreadPoolExecutor() as threads:
            found = zip(
                names, threads.map(lambda name: sha256_of(held.lists / name), names), strict=True
            )
            strange |= {name for name, sha256 in found if (sha256, sizes[name]) != expected[name]}
    except (OSError, ValueError) as error:
        raise _changed(str(error)) from error
    if strange:
        raise _changed(", ".join(sorted(strange)))
    return held


def check_unless_untouched(home: Path, digests: Sequence[tuple[str, Digest]]) -> None:
    """Check lists as :func:`check_lists` does, unless they are as the last check left them.

    Raises:
        RepositoryError: They are not what the indexes state.
    """
    states.check_unless_untouched(home, home / "lists", digests, check_lists)


def note_checked(home: Path) -> None:
    """Note that the lists have been checked."""
    states.note_checked(home, home / "lists")


def _without_hash(part: Part) -> Iterator[str]:
    """Names of files whose content is part of the repository's digest, or its signature."""
    if part.release is None:
        yield from part.packages
    else:
        yield part.release
        if part.release.endswith("_Release"):
            yield f"{part.release}.gpg"


def _expected(held: Held) -> Iterator[tuple[str, tuple[Digest, int]]]:
    """The SHA-256 and size of each list that an index states, by name."""
    for part, release in zip(held.parts, held.releases(), strict=True):
        if release is None:
            continue
        suffix = next(name for name in _RELEASES if release.name.endswith(name))
        stated: Mapping[str, tuple[Digest, int]] = Release.read(release.read_bytes()).files
        for path, what in stated.items():
            name = release.name.removesuffix(suffix) + quoted(path)
            if name in part.packages:
                yield name, what


def _changed(what: str, hint: str = "") -> RepositoryError:
    return RepositoryError(
        f"cached package lists are not what the repositories signed: {what}",
        remedy=f"{hint}{' ' if hint else ''}Something has changed the download cache. Run again "
        "with --clear-cache to read the lists anew, and find out who can write to the cache.",
    )


def forget(home: Path) -> None:
    """Remove the record, so that the next build reads the lists anew."""
    (home / _PARTS).unlink(missing_ok=True)
    states.forget_check(home)


def checked_releases(state: RepositoryState) -> tuple[Path | None, ...]:
    """Check the lists of a state; return the index of each repository, ``None`` if it has none.

    Raises:
        RepositoryError: The lists are not what the state says. The next build reads them anew.
    """
    try:
        return check_lists(state.metadata, state.digests).releases()
    except RepositoryError:
        forget(state.metadata)
        raise
