"""dnf 4: the host's own installs packages into the tree from outside; the tree does not need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kiwinb.packages.dnf.config import write_config
from kiwinb.packages.dnf.manager import Dnf, install_job
from kiwinb.packages.manager import PackageRequest
from kiwinb.packages.rpm.manager import COMMON_TOOLS
from kiwinb.packages.rpm.resolve import Resolution
from kiwinb.packages.rpm.session import Session


class Dnf4(Dnf):
    """The package manager ``dnf4``; see :class:`kiwinb.packages.manager.PackageManager`."""

    name = "dnf4"
    revision = 3
    tools = ("dnf", *COMMON_TOOLS)

    def run_install(
        self,
        session: Session,
        request: PackageRequest,
        repositories: Mapping[str, Path],
        resolution: Resolution,
    ) -> None:
        """Install with dnf; see :class:`~kiwinb.packages.rpm.manager.RpmManager`.

        What is there already is only noted as wanted: newer versions know no group without new
        packages.
        """
        if not resolution.new and resolution.named:
            config = write_config(session.work, {}, None)
            names = sorted(resolution.named)
            session.run([*_dnf(session, config, None), "mark", "install", "--", *names])
            return
        urls = {alias: directory.as_uri() for alias, directory in repositories.items()}
        config = write_config(session.work, urls, request)
        session.run([*_dnf(session, config, request.release_version), *install_job(request)])

    def run_remove(self, session: Session, names: Sequence[str]) -> None:
        """Remove with dnf; see :class:`~kiwinb.packages.rpm.manager.RpmManager`."""
        config = write_config(session.work, {}, None)
        session.run([*_dnf(session, config, None), "remove", "--", *names])


def _dnf(session: Session, config: Path, release: str | None) -> list[str]:
    return [
        *("dnf", "--config", str(config), f"--installroot={session.root}"),
        *(f"--releasever={release or 1}", "--setopt=debuglevel=2"),
    ]
