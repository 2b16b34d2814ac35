"""dnf, for Fedora, Red Hat Enterprise Linux and their derivatives.

The host's dnf 4 installs packages into the tree from outside, so the tree does not need dnf.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kiwinb.packages.dnf.config import write_config
from kiwinb.packages.dnf.groups import group_wants
from kiwinb.packages.dnf.history import settle_history
from kiwinb.packages.manager import PackageRequest
from kiwinb.packages.rpm.manager import COMMON_TOOLS, RpmManager, checked_names
from kiwinb.packages.rpm.resolve import Want
from kiwinb.packages.rpm.session import Session


class Dnf4(RpmManager):
    """The package manager ``dnf4``; see :class:`kiwinb.packages.manager.PackageManager`."""

    name = "dnf4"
    revision = 1
    tools = ("dnf", *COMMON_TOOLS)
    repository_directory = "/etc/yum.repos.d"

    def wants(self, request: PackageRequest) -> list[Want]:
        """Return the packages, and those of the groups."""
        count = len(request.used)
        groups = group_wants(request.state.metadata, count, request.collections)
        return [*map(Want, checked_names(request.wanted)), *groups]

    def run_install(
        self, session: Session, request: PackageRequest, repositories: Mapping[str, Path]
    ) -> None:
        """Install with dnf; see :class:`~kiwinb.packages.rpm.manager.RpmManager`."""
        config = write_config(session.work, repositories, request)
        names = [*checked_names(request.wanted), *(f"@{name}" for name in request.collections)]
        job = ["install", "--", *names] if names else ["upgrade"]
        session.run([*_dnf(session, config, request.release_version), *job])

    def run_remove(self, session: Session, names: Sequence[str]) -> None:
        """Remove with dnf; see :class:`~kiwinb.packages.rpm.manager.RpmManager`."""
        config = write_config(session.work, {}, None)
        session.run([*_dnf(session, config, None), "remove", "--", *names])

    def settle(self, session: Session) -> None:
        """Have all builds leave the same database and the same history."""
        super().settle(session)
        settle_history(session.root, session.work, session.epoch)


def _dnf(session: Session, config: Path, release: str | None) -> list[str]:
    return [
        *("dnf", "--config", str(config), f"--installroot={session.root}"),
        *(f"--releasever={release or 1}", "--setopt=debuglevel=2"),
    ]
