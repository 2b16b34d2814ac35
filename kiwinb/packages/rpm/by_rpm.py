"""Install and remove packages with the host's rpm alone.

It keeps no record of why a package is there. kiwinb has resolved, downloaded and checked the
packages; see rpm(8).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kiwinb.packages.databases.directory import DirectoryFiles
from kiwinb.packages.databases.rpm import headers_of
from kiwinb.packages.databases.rpm_header import Tag
from kiwinb.packages.rpm.resolve import Resolver
from kiwinb.packages.rpm.session import Session


def install(session: Session, repositories: Mapping[str, Path], *, excludedocs: bool) -> None:
    """Install or upgrade all packages of local repositories.

    Args:
        session: The session.
        repositories: Directory of each repository, by alias.
        excludedocs: Whether to leave out documentation.

    Raises:
        PackageError: rpm cannot install them.
    """
    files = [file for place in repositories.values() for file in sorted(place.glob("*.rpm"))]
    if not files:
        return
    words = ["--upgrade", "--oldpackage", "--nosignature", "--ignoresize", "--verbose"]
    words += ["--excludedocs"] if excludedocs else []
    session.run(["rpm", "--root", str(session.root), *words, "--", *map(str, files)])


def erase(session: Session, names: Sequence[str]) -> None:
    """Remove packages, and those that depend on them.

    Raises:
        PackageError: rpm cannot remove them.
    """
    headers = headers_of(DirectoryFiles(session.root)).values()
    resolver = Resolver(session.work, (), "noarch", headers)
    resolution = resolver.remove(names, kept={header.text(Tag.NAME) for header in headers})
    words = ["rpm", "--root", str(session.root), "--erase", "--allmatches"]
    session.run([*words, "--", *resolution.removed])
