"""Get package files of a repository: from the pool, or else from its servers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kiwinb.packages.fetch import Wanted, fetch
from kiwinb.packages.manager import ResolvedRepository
from kiwinb.packages.pool import Download, Pool


def download(
    pool: Pool,
    repository: ResolvedRepository,
    wanted: Sequence[Wanted],
    log: Callable[[str], None],
) -> None:
    """Get files that a repository lists, through the pool.

    Args:
        pool: The pool.
        repository: The repository.
        wanted: The files; all targets are in one directory.
        log: Called with a line if there is something to download.

    Raises:
        RepositoryError: A file cannot be downloaded, or is not the one that is listed.
    """
    if not wanted:
        return
    directory = wanted[0].target.parent
    by_name = {item.target.name: item for item in wanted}
    missing = pool.take(
        (Download(item.target.name, item.size or 0, item.digest) for item in wanted), directory
    )
    if not missing:
        return
    size = sum(item.size for item in missing) / 1e6
    log(f"downloading {len(missing)} packages ({size:.1f} MB)")
    try:
        fetch(repository, [by_name[item.filename] for item in missing])
    finally:
        pool.keep(missing, directory)
