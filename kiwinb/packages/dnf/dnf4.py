"""dnf 4: the host's own installs packages into the tree from outside; the tree does not need it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from kiwinb.packages.dnf.config import write_config
from kiwinb.packages.dnf.groups import group_wants
from kiwinb.packages.dnf.manager import Dnf, install_job
from kiwinb.packages.manager import PackageRequest
from kiwinb.packages.rpm.manager import COMMON_TOOLS
from kiwinb.packages.rpm.resolve import Resolution
from kiwinb.packages.rpm.session import Session


class Dnf4(Dnf):
    """The package manager ``dnf4``; see :class:`kiwinb.packages.manager.PackageManager`."""

    name = "dnf4"
    revision = 4
    tools = ("dnf", *COMMON_TOOLS)

    def run_install(
        self,
        session: Session,
        request: PackageRequest,
        repositories: Mapping[str, Path],
        resolution: Resolution,
    ) -> None:
        """Install with dnf; see :class:`~kiwinb.packages.rpm.manager.RpmManager`.

        Newer versions know no group without new packages, so packages of such groups are only
        marked as wanted.
        """
        groups = _groups_with(request, {item.name for item in resolution.new})
        if resolution.new or not resolution.named:
            urls = {alias: directory.as_uri() for alias, directory in repositories.items()}
            config = write_config(session.work, urls, request)
            job = install_job(replace(request, collections=groups))
            session.run([*_dnf(session, config, request.release_version), *job])
        if resolution.named and (not resolution.new or len(groups) < len(request.collections)):
            config = write_config(session.work, {}, None)
            words = ["mark", "install", "--", *sorted(resolution.named)]
            session.run([*_dnf(session, config, None), *words])

    def run_remove(self, session: Session, names: Sequence[str]) -> None:
        """Remove with dnf; see :class:`~kiwinb.packages.rpm.manager.RpmManager`."""
        config = write_config(session.work, {}, None)
        session.run([*_dnf(session, config, None), "remove", "--", *names])


def _groups_with(request: PackageRequest, names: Collection[str]) -> tuple[str, ...]:
    """Return the groups of a request that have at least one of some packages."""
    metadata, count = request.state.metadata, len(request.used)
    return tuple(
        group
        for group in request.collections
        if any(want.text in names for want in group_wants(metadata, count, [group]))
    )


def _dnf(session: Session, config: Path, release: str | None) -> list[str]:
    return [
        *("dnf", "--config", str(config), f"--installroot={session.root}"),
        *(f"--releasever={release or 1}", "--setopt=debuglevel=2"),
    ]
