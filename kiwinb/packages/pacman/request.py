"""What a request asks pacman for."""

from __future__ import annotations

from collections.abc import Sequence

from kiwinb.errors import PackageError
from kiwinb.packages.manager import PackageRequest


def targets(request: PackageRequest) -> list[str]:
    """Return the packages and groups of a request.

    Raises:
        PackageError: One has no proper name.
    """
    return checked_names([*request.wanted, *request.collections])


def checked_names(names: Sequence[str]) -> list[str]:
    """Return names that pacman does not take for options or for files of the host.

    Raises:
        PackageError: One is no name of a package or a group.
    """
    if strange := [name for name in names if not name or name[0] in "-./~" or "://" in name]:
        raise PackageError(
            "these are no names of packages:\n" + "\n".join(f"  {name}" for name in strange),
            remedy="Name a package of a repository. A package file needs a repository, too: "
            "repo-add NAME.db.tar.gz FILE",
        )
    return list(names)
