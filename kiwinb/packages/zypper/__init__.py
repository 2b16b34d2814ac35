"""zypper, for openSUSE, SUSE Linux Enterprise and their derivatives.

The host's zypper installs packages into the tree from outside, so the tree does not need zypper.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from kiwinb.packages.databases.rpm_reasons import ZYPPER
from kiwinb.packages.manager import PackageRequest
from kiwinb.packages.rpm.manager import COMMON_TOOLS, RpmManager, package_names
from kiwinb.packages.rpm.resolve import Resolution, Want
from kiwinb.packages.rpm.session import Session
from kiwinb.packages.zypper.config import write_config
from kiwinb.sandbox.tree_files import read_text_in, write_in

_PARTLY = (102, 103)
"""Exit statuses of zypper after it has done all: what to restart; see zypper(8)."""

_GENERATED = re.compile(r"\A(# AutoInstalled generated ).*")


class Zypper(RpmManager):
    """The package manager ``zypper``; see :class:`kiwinb.packages.manager.PackageManager`."""

    name = "zypper"
    revision = 2
    tools = ("zypper", *COMMON_TOOLS)
    honours = RpmManager.honours | {"product"}
    repository_directory = "/etc/zypp/repos.d"

    def wants(self, request: PackageRequest) -> list[Want]:
        """Return the packages, and what patterns and products provide."""
        packages = map(Want, package_names(request.wanted))
        patterns = (
            Want("pattern()", name, shown=f"pattern:{name}") for name in request.collections
        )
        products = (Want("product()", name, shown=f"product:{name}") for name in request.products)
        return [*packages, *patterns, *products]

    def run_install(
        self,
        session: Session,
        request: PackageRequest,
        repositories: Mapping[str, Path],
        resolution: Resolution,
    ) -> None:
        """Install with zypper; see :class:`~kiwinb.packages.rpm.manager.RpmManager`."""
        weak = "--recommends" if request.recommended else "--no-recommends"
        names = [
            *package_names(request.wanted),
            *(f"pattern:{name}" for name in request.collections),
            *(f"product:{name}" for name in request.products),
        ]
        job = ["install", "--auto-agree-with-licenses", "--allow-vendor-change", weak, "--", *names]
        if not names:
            job = ["update", "--auto-agree-with-licenses", "--allow-vendor-change", weak]
        zypper = write_config(session, repositories, request)
        session.run([*zypper, "refresh"])
        macros = ["%_excludedocs 1"] if request.excludedocs else []
        session.run([*zypper, "--no-refresh", *job], macros, accepted=_PARTLY)

    def settle(self, session: Session) -> None:
        """Have all builds leave the same database, and the same list of automatic packages."""
        super().settle(session)
        if text := read_text_in(session.root, ZYPPER):
            when = time.asctime(time.gmtime(session.epoch))
            write_in(session.root, ZYPPER, _GENERATED.sub(rf"\g<1>{when}", text, count=1))

    def run_remove(self, session: Session, names: Sequence[str]) -> None:
        """Remove with zypper; see :class:`~kiwinb.packages.rpm.manager.RpmManager`."""
        zypper = write_config(session, {}, None)
        session.run([*zypper, "remove", "--clean-deps", "--", *names], accepted=_PARTLY)
