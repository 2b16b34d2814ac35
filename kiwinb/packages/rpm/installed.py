"""Tell libsolv which packages a tree has, or would have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import solv

from kiwinb.packages.databases.bounds import MOST_TEXT, Allowance
from kiwinb.packages.databases.rpm_files import paths
from kiwinb.packages.databases.rpm_header import Header, Tag
from kiwinb.packages.databases.rpm_relations import (
    CONFLICTS,
    EQUAL,
    GREATER,
    LESS,
    OBSOLETES,
    PROVIDES,
    RECOMMENDS,
    REQUIRES,
    relations,
)

_RELATIONS = (
    (REQUIRES, solv.SOLVABLE_REQUIRES),
    (PROVIDES, solv.SOLVABLE_PROVIDES),
    (CONFLICTS, solv.SOLVABLE_CONFLICTS),
    (OBSOLETES, solv.SOLVABLE_OBSOLETES),
    (RECOMMENDS, solv.SOLVABLE_RECOMMENDS),
)
_COPIED = (
    *(key for _tags, key in _RELATIONS),
    solv.SOLVABLE_SUPPLEMENTS,
)
_SYSTEM = "@System"


def add_installed(pool: Any, headers: Iterable[Header]) -> Any:
    """Add the packages of a database of rpm to a pool, and return their repository."""
    repo = pool.add_repo(_SYSTEM)
    data = repo.add_repodata()
    for header in headers:
        solvable = repo.add_solvable()
        solvable.name = header.text(Tag.NAME)
        solvable.evr = version_of(header)
        solvable.arch = header.text(Tag.ARCH) or "noarch"
        solvable.add_provides(pool.Dep(solvable.name).Rel(solv.REL_EQ, pool.Dep(solvable.evr)))
        for tags, key in _RELATIONS:
            for name, flags, version in relations(header, tags):
                if not name.startswith("rpmlib("):
                    solvable.add_deparray(key, _dependency(pool, name, flags, version))
        room = Allowance(MOST_TEXT, "the database of rpm")
        for path in paths(header, room):
            directory, _, name = path.rpartition("/")
            place = data.str2dir(directory or "/")
            data.add_dirstr(solvable.id, solv.SOLVABLE_FILELIST, place, name)
    data.internalize()
    return repo


def version_of(header: Header) -> str:
    """Return the version of a package: ``epoch:version-release``, without an epoch of 0."""
    epoch = header.number(Tag.EPOCH)
    version = f"{header.text(Tag.VERSION)}-{header.text(Tag.RELEASE)}"
    return f"{epoch}:{version}" if epoch else version


def _dependency(pool: Any, name: str, flags: int, version: str) -> Any:
    if name.startswith("("):
        return pool.parserpmrichdep(name)
    relation = (
        (solv.REL_LT if flags & LESS else 0)
        | (solv.REL_GT if flags & GREATER else 0)
        | (solv.REL_EQ if flags & EQUAL else 0)
    )
    named = pool.Dep(name)
    return named.Rel(relation, pool.Dep(version)) if relation and version else named


def add_noted(pool: Any, removed: Sequence[str], new: Sequence[Any]) -> None:
    """Have the installed packages of a pool change as a transaction changes them.

    Args:
        pool: The pool.
        removed: Names of packages that go away.
        new: Packages of repositories that come; others of their names go away.
    """
    before = pool.installed
    gone = {*removed, *(solvable.name for solvable in new)}
    kept = [item for item in before.solvables if item.name not in gone] if before else []
    repo = pool.add_repo(_SYSTEM)
    data = repo.add_repodata()
    for source in (*kept, *new):
        solvable = repo.add_solvable()
        solvable.name, solvable.evr, solvable.arch = source.name, source.evr, source.arch
        for key in _COPIED:
            for dependency in source.lookup_deparray(key):
                solvable.add_deparray(key, dependency)
        for found in source.Dataiterator(
            solv.SOLVABLE_FILELIST, None, solv.Dataiterator.SEARCH_FILES
        ):
            directory, _, name = found.str.rpartition("/")
            place = data.str2dir(directory or "/")
            data.add_dirstr(solvable.id, solv.SOLVABLE_FILELIST, place, name)
    data.internalize()
    pool.installed = repo
    if before is not None:
        before.free(True)
