"""What a request asks pacman for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kiwinb.packages.failures import checked_names
from kiwinb.packages.manager import PackageRequest

_UNFIT = re.compile(r"^[-./~]|://")


def targets(request: PackageRequest) -> list[str]:
    """Return the packages and groups of a request.

    Raises:
        PackageError: One has no proper name.
    """
    return package_names([*request.wanted, *request.collections])


def package_names(names: Sequence[str]) -> list[str]:
    """Return names that pacman does not take for options or for files of the host.

    Raises:
        PackageError: One is no name of a package or a group.
    """
    return checked_names(names, _UNFIT, "repo-add NAME.db.tar.gz FILE")
