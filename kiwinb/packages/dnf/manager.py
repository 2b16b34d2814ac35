"""What dnf 4, dnf 5 and microdnf do in the same way."""

from __future__ import annotations

from kiwinb.packages.dnf.groups import group_wants
from kiwinb.packages.dnf.history import settle_histories
from kiwinb.packages.manager import PackageRequest
from kiwinb.packages.rpm.manager import RpmManager, package_names
from kiwinb.packages.rpm.resolve import Want
from kiwinb.packages.rpm.session import Session


class Dnf(RpmManager):
    """A package manager of the family of dnf; its subclasses run the manager itself."""

    repository_directory = "/etc/yum.repos.d"

    def wants(self, request: PackageRequest) -> list[Want]:
        """Return the packages, and those of the groups."""
        count = len(request.used)
        groups = group_wants(request.state.metadata, count, request.collections)
        return [*map(Want, package_names(request.wanted)), *groups]

    def settle(self, session: Session) -> None:
        """Have all builds leave the same database and the same history."""
        super().settle(session)
        settle_histories(session.root, session.work, session.epoch)


def install_job(request: PackageRequest) -> list[str]:
    """Return the command with which a dnf does what a request asks for."""
    names = [*package_names(request.wanted), *(f"@{name}" for name in request.collections)]
    return ["install", "--", *names] if names else ["upgrade"]
