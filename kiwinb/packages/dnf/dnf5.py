"""dnf 5: rpm fills an empty tree; later, the tree's own dnf 5 installs from inside.

The host's dnf 5 is not used even if there is one, so that a tree does not depend on the host.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from kiwinb.packages.databases.directory import DirectoryFiles
from kiwinb.packages.databases.rpm import headers_of
from kiwinb.packages.databases.rpm_header import Tag
from kiwinb.packages.dnf.config import VOLATILE, write_config
from kiwinb.packages.dnf.manager import Dnf, install_job
from kiwinb.packages.manager import PackageRequest
from kiwinb.packages.rpm.by_rpm import erase, install
from kiwinb.packages.rpm.manager import COMMON_TOOLS
from kiwinb.packages.rpm.resolve import Chosen, Resolution
from kiwinb.packages.rpm.session import Session

_PACKAGE = "dnf5"
"""Name of the package, and of its program."""

_CONFIG = f"{VOLATILE}/dnf.conf"
_REPOSITORIES = f"{VOLATILE}/repositories"


class Dnf5(Dnf):
    """The package manager ``dnf5``; see :class:`kiwinb.packages.manager.PackageManager`."""

    name = "dnf5"
    revision = 1
    tools = COMMON_TOOLS

    def keeps_reasons(self, names: Collection[str]) -> bool:
        """Tell whether dnf5 is among the packages."""
        return _PACKAGE in names

    def run_install(
        self,
        session: Session,
        request: PackageRequest,
        repositories: Mapping[str, Path],
        resolution: Resolution,
    ) -> None:
        """Install with the tree's dnf5; if it has none, with rpm, and tell a new dnf5 why.

        See also :class:`~kiwinb.packages.rpm.manager.RpmManager`.
        """
        if has_dnf5(session.root):
            _run(session, request, repositories, install_job(request))
            return
        install(session, repositories, excludedocs=request.excludedocs is True)
        session.settle()  # where the tree's own programs find it
        if has_dnf5(session.root):
            _note_reasons(session, resolution.new)

    def run_remove(self, session: Session, names: Sequence[str]) -> None:
        """Remove with the tree's dnf5; if it has none, with rpm, and only what depends on it."""
        if has_dnf5(session.root):
            _run(session, None, {}, ["remove", "--", *names])
        else:
            erase(session, names)


def has_dnf5(root: Path) -> bool:
    """Tell whether a tree has dnf5."""
    headers = headers_of(DirectoryFiles(root)).values()
    return any(header.text(Tag.NAME) == _PACKAGE for header in headers)


def _note_reasons(session: Session, new: Sequence[Chosen]) -> None:
    """Tell dnf5 which new packages are wanted; it takes those that it does not know for wanted."""
    for reason, is_named in (("dependency", False), ("user", True)):
        if packages := [f"{item.name}.{item.arch}" for item in new if item.named == is_named]:
            _run(session, None, {}, ["mark", reason, "--", *packages])


def _run(
    session: Session,
    request: PackageRequest | None,
    repositories: Mapping[str, Path],
    job: Sequence[str],
) -> None:
    urls = {
        alias: f"file://{_REPOSITORIES}/{directory.name}"
        for alias, directory in repositories.items()
    }
    given = {_CONFIG: write_config(session.work, urls, request)}
    if repositories:
        given[_REPOSITORIES] = next(iter(repositories.values())).parent
    release = request.release_version if request is not None else None
    words = [f"--releasever={release}"] if release else []
    session.run_inside([_PACKAGE, f"--config={_CONFIG}", *words, *job], given)
