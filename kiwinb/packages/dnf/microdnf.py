"""microdnf: dnf 5 under another name, or in older distributions a program of its own.

The older one keeps the same records as dnf 4, so the host's dnf 4 does its work from outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kiwinb.packages.dnf.dnf4 import Dnf4
from kiwinb.packages.dnf.dnf5 import Dnf5, has_dnf5
from kiwinb.packages.dnf.manager import Dnf
from kiwinb.packages.manager import PackageRequest
from kiwinb.packages.rpm.resolve import Resolution
from kiwinb.packages.rpm.session import Session

_DNF4, _DNF5 = Dnf4(), Dnf5()


class Microdnf(Dnf):
    """The package manager ``microdnf``; see :class:`kiwinb.packages.manager.PackageManager`."""

    name = "microdnf"
    revision = 2
    tools = Dnf4.tools

    def run_install(
        self,
        session: Session,
        request: PackageRequest,
        repositories: Mapping[str, Path],
        resolution: Resolution,
    ) -> None:
        """Install as dnf5 does if the tree has it or gets it, and otherwise as dnf4 does."""
        is_dnf5 = has_dnf5(session.root) or _DNF5.keeps_reasons(
            {item.name for item in resolution.new}
        )
        manager: Dnf = _DNF5 if is_dnf5 else _DNF4
        manager.run_install(session, request, repositories, resolution)

    def run_remove(self, session: Session, names: Sequence[str]) -> None:
        """Remove as dnf5 does if the tree has it, and otherwise as dnf4 does."""
        manager: Dnf = _DNF5 if has_dnf5(session.root) else _DNF4
        manager.run_remove(session, names)
