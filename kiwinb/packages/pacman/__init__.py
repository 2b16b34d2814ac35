"""pacman, for Arch Linux and its derivatives.

The host's pacman installs packages into the tree from outside, so the tree does not need pacman.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kiwinb.errors import CommandError
from kiwinb.packages.databases import installed
from kiwinb.packages.databases.database import Package, TreeFiles
from kiwinb.packages.databases.directory import DirectoryFiles
from kiwinb.packages.databases.pacman import LOCAL, local_sections
from kiwinb.packages.manager import (
    AvailablePackage,
    HostMirror,
    PackageChanges,
    PackageRequest,
    RepositoryState,
    ResolvedRepository,
    among_installed,
)
from kiwinb.packages.pacman import metadata
from kiwinb.packages.pacman.config import write_config
from kiwinb.packages.pacman.forecast import forecast
from kiwinb.packages.pacman.image import configure
from kiwinb.packages.pacman.request import package_names, targets
from kiwinb.packages.pacman.resolve import Resolver
from kiwinb.packages.pacman.session import DATABASE, TRACES, install, opened
from kiwinb.packages.variables import Variables
from kiwinb.sandbox.chroot import ENVIRONMENT, Chroot
from kiwinb.sandbox.paths import resolve_in
from kiwinb.sandbox.tree_files import read_text_in
from kiwinb.steps.step import HostPaths, StepContext


class PacmanManager:
    """The package manager ``pacman``; see :class:`kiwinb.packages.manager.PackageManager`."""

    name = "pacman"
    revision = 1
    tools = ("curl", "pacman")
    splits_versions = True
    traces = TRACES
    honours = frozenset(
        {
            *("package", "namedCollection", "ignore", "components"),
            *("priority", "repository_gpgcheck", "package_gpgcheck"),
        }
    )

    def host_mirrors(self) -> tuple[HostMirror, ...]:
        """Return nothing: hosts with pacman have mirror lists."""
        return ()

    def url_variables(self, arch: str, release_version: str | None) -> Variables:
        """Return nothing: these URLs have no variables."""
        return {}

    def refresh(
        self,
        repositories: Sequence[ResolvedRepository],
        arch: str,
        host: HostPaths,
        *,
        force: bool,
    ) -> RepositoryState:
        """See :class:`kiwinb.packages.manager.PackageManager`."""
        return metadata.refresh(repositories, arch, host.cache, force=force)

    def bootstrap(self, context: StepContext, request: PackageRequest) -> None:
        """Install the requested packages into an empty tree, with all that they depend on."""
        self.install(context, request)

    def install(self, context: StepContext, request: PackageRequest) -> None:
        """Install packages and groups."""
        if wanted := targets(request):
            ignored = [f"--ignore={','.join(request.ignore)}"] if request.ignore else []
            self._run(context, request, ["-S", "--needed", *ignored, *wanted], wanted)

    def upgrade(self, context: StepContext, request: PackageRequest) -> None:
        """Upgrade all packages."""
        self._run(context, request, ["-Su"], ())

    def _run(
        self,
        context: StepContext,
        request: PackageRequest,
        job: Sequence[str],
        wanted: Sequence[str],
    ) -> None:
        has_packages = resolve_in(context.root, LOCAL).is_dir()
        base = DirectoryFiles(context.root) if has_packages else None
        with tempfile.TemporaryDirectory() as work:
            resolver = Resolver(Path(work), request, base)
            chosen = resolver.install(wanted, request.ignore, upgrade=not wanted)
        if not wanted and not chosen:
            return
        with opened(context, request.state.epoch) as session:
            install(session, request, chosen, job)
            session.settle()

    def forecast(
        self, changes: PackageChanges, host: HostPaths, base: TreeFiles | None = None
    ) -> tuple[AvailablePackage, ...]:
        """Resolve each transaction of the build, as the build does, without a tree."""
        return forecast(changes, base)

    def remove(self, context: StepContext, packages: Sequence[str], *, force: bool) -> None:
        """Remove packages; see :class:`kiwinb.packages.manager.PackageManager`."""
        there = among_installed(context, self.installed(context.root), packages)
        names = package_names(there)
        if not names:
            return
        with opened(context, _epoch(context.root)) as session:
            session.run(["-Rdd" if force else "-Rsc", *names], None)
            session.settle()

    def configure_image(
        self, context: StepContext, repositories: Sequence[ResolvedRepository]
    ) -> None:
        """Append repositories to the configuration of the image's own pacman."""
        configure(context.root, repositories, context.log)

    def installed(self, root: Path) -> tuple[Package, ...]:
        """List the installed packages, sorted by name."""
        return installed(root)

    def changes(self, root: Path) -> str:
        """Return the changelog of each package; few packages of pacman have one."""
        parts = []
        for item in self.installed(root):
            path = f"{LOCAL}/{item.name}-{item.version}/changelog"
            parts.append(f"{item.name}|\n{read_text_in(root, path, errors='replace')}")
        return "".join(parts)

    def verify(self, context: StepContext) -> str:
        """Return what the host's pacman says of the files of packages: ``pacman -Qkk``."""
        lines: list[str] = []
        with (
            tempfile.TemporaryDirectory() as place,
            Chroot(context.root) as chroot,
        ):
            work = Path(place)
            config = write_config(work, context.root, None)
            database = resolve_in(context.root, DATABASE)
            words = ["pacman", "--config", str(config), "--dbpath", str(database), "-Qkk"]
            try:
                chroot.run_tool(words, env=ENVIRONMENT, home=work, also=[work], log=lines.append)
            except CommandError as error:
                if not lines:
                    raise error
        text = "".join(f"{line}\n" for line in lines)
        return re.sub(re.escape(str(context.root)) + "(?=/)", "", text)


def _epoch(root: Path) -> int:
    """The time of the packages of a tree: that of their installation, which is the same for all."""
    times = (
        int(line)
        for sections in local_sections(DirectoryFiles(root))
        for line in sections.get("INSTALLDATE", ())
        if line.isdecimal() and len(line) < 19
    )
    return max(times, default=0)
