"""apt and dpkg, for Debian, Ubuntu and their derivatives.

The host's apt resolves and downloads packages, and the tree's dpkg installs them, so the tree does
not need apt.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kiwinb.errors import CommandError
from kiwinb.packages.apt import cleanup, image, metadata
from kiwinb.packages.apt.bootstrap import bootstrap
from kiwinb.packages.apt.changes import changes
from kiwinb.packages.apt.complaints import failed_transaction
from kiwinb.packages.apt.config import DPKG_OPTIONS, debian_architecture
from kiwinb.packages.apt.forecast import forecast
from kiwinb.packages.apt.host_sources import host_sources
from kiwinb.packages.apt.session import dpkg as run_dpkg
from kiwinb.packages.apt.session import local_session, opened, session
from kiwinb.packages.databases import installed
from kiwinb.packages.databases.database import Package, TreeFiles
from kiwinb.packages.manager import (
    AvailablePackage,
    HostMirror,
    PackageChanges,
    PackageRequest,
    RepositoryState,
    ResolvedRepository,
    among_installed,
)
from kiwinb.packages.variables import Variables
from kiwinb.sandbox.chroot import Chroot
from kiwinb.steps.step import HostPaths, StepContext


class Apt:
    """The package manager ``apt``; see :class:`kiwinb.packages.manager.PackageManager`."""

    name = "apt"
    revision = 2
    tools = ("apt-get", "apt-cache", "dpkg", "dpkg-deb", "tar")
    honours = frozenset(
        {
            *("package", "namedCollection", "ignore", "patternType"),
            *("distribution", "components", "architectures", "priority", "repository_gpgcheck"),
        }
    )
    splits_versions = False
    traces = cleanup.TRACES

    def host_mirrors(self) -> tuple[HostMirror, ...]:
        """Return the enabled binary sources of the host's apt."""
        return host_sources()

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
        return metadata.refresh(repositories, debian_architecture(arch), host.cache, force=force)

    def bootstrap(self, context: StepContext, request: PackageRequest) -> None:
        """Install the essential packages and the requested ones into an empty tree."""
        with cleanup.settled(context.root, context.log), session(context, request) as apt:
            bootstrap(apt, request.packages)

    def install(self, context: StepContext, request: PackageRequest) -> None:
        """Install packages and tasks.

        A collection is a task (``NAME^``), the package ``task-NAME``, or a metapackage.
        """
        with cleanup.settled(context.root, context.log), session(context, request) as apt:
            if names := [*request.wanted, *apt.tasks(request.collections)]:
                apt.install(names)

    def upgrade(self, context: StepContext, request: PackageRequest) -> None:
        """Upgrade all packages, installing and removing others where that is necessary."""
        with cleanup.settled(context.root, context.log), session(context, request) as apt:
            apt.install(())

    def forecast(
        self, changes: PackageChanges, host: HostPaths, base: TreeFiles | None = None
    ) -> tuple[AvailablePackage, ...]:
        """Let apt resolve each transaction of the build, without a tree."""
        return forecast(changes, host, base)

    def remove(self, context: StepContext, packages: Sequence[str], *, force: bool) -> None:
        """Purge packages; see :class:`kiwinb.packages.manager.PackageManager`."""
        names = among_installed(context, self.installed(context.root), packages)
        if not names:
            return
        with cleanup.settled(context.root, context.log):
            if force:
                _purge(context, names)
            else:
                with local_session(context) as apt:
                    apt.purge(names)

    def configure_image(
        self, context: StepContext, repositories: Sequence[ResolvedRepository]
    ) -> None:
        """Write the sources and keys for the image's own apt."""
        image.configure(context.root, repositories, context.log)

    def installed(self, root: Path) -> tuple[Package, ...]:
        """List the installed packages, sorted by name."""
        return installed(root)

    def changes(self, root: Path) -> str:
        """Return the newest changelog entry of each package that contains its changelog."""
        return changes(root)

    def verify(self, context: StepContext) -> str:
        """Return the output of ``dpkg --verify``."""
        with Chroot(context.root) as chroot:
            return chroot.run(["dpkg", "--verify"], check=False)


def _purge(context: StepContext, names: Sequence[str]) -> None:
    force = ("--force-depends", "--force-remove-essential", "--force-remove-protected")
    try:
        with opened(context) as chroot:
            run_dpkg(chroot, [*DPKG_OPTIONS, *force, "--purge", *names])
    except CommandError as error:
        raise failed_transaction(error.tail) from error
