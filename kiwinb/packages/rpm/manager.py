"""What dnf and zypper do in the same way; see :class:`kiwinb.packages.manager.PackageManager`."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from kiwinb.errors import RepositoryError
from kiwinb.packages.databases import installed
from kiwinb.packages.databases.database import Package, TreeFiles
from kiwinb.packages.databases.directory import DirectoryFiles
from kiwinb.packages.databases.rpm import headers_of
from kiwinb.packages.databases.rpm_header import Tag
from kiwinb.packages.failures import checked_names, naming_origins
from kiwinb.packages.indexed import directory_of
from kiwinb.packages.manager import (
    AvailablePackage,
    HostMirror,
    PackageChanges,
    PackageRequest,
    RepositoryState,
    ResolvedRepository,
    among_installed,
)
from kiwinb.packages.rpm import metadata
from kiwinb.packages.rpm.changes import changes
from kiwinb.packages.rpm.forecast import forecast
from kiwinb.packages.rpm.image import configure
from kiwinb.packages.rpm.resolve import Resolution, Want
from kiwinb.packages.rpm.session import (
    TRACES,
    Session,
    check_result,
    opened,
    resolver,
    rpm_architecture,
    stage,
)
from kiwinb.packages.variables import Variables
from kiwinb.sandbox.chroot import Chroot
from kiwinb.steps.step import HostPaths, StepContext

COMMON_TOOLS = ("createrepo_c", "curl", "rpm", "rpmdb", "rpmkeys")
"""Programs of the host that all managers for packages of rpm call."""

_UNFIT = re.compile(r"^[-.~]")

_BASE_ARCHITECTURES: Mapping[str, str] = {
    **dict.fromkeys(("i386", "i486", "i586", "i686", "athlon", "geode"), "i386"),
    **dict.fromkeys(("armv6hl", "armv7hl", "armv7hnl", "armv8hl"), "armhfp"),
}
"""Names of families of architectures in URLs of repositories, where they are other ones."""


class RpmManager(ABC):
    """A package manager for packages of rpm; its subclasses run the manager itself."""

    splits_versions = True
    traces = TRACES
    honours = frozenset(
        {
            *("package", "namedCollection", "ignore", "patternType"),
            *("priority", "repository_gpgcheck", "package_gpgcheck", "sourcetype"),
        }
    )

    @abstractmethod
    def wants(self, request: PackageRequest) -> list[Want]:
        """Return what a request asks for.

        Raises:
            PackageError: It asks for a group that no repository has.
        """

    @abstractmethod
    def run_install(
        self,
        session: Session,
        request: PackageRequest,
        repositories: Mapping[str, Path],
        resolution: Resolution,
    ) -> None:
        """Install what a request asks for from local repositories, or upgrade all packages.

        Args:
            session: The session.
            request: The request; without packages and collections, all packages are upgraded.
            repositories: Directory of each repository, by alias; they have all packages that the
                transaction installs, and no others.
            resolution: What is to be done.

        Raises:
            PackageError: A package cannot be installed.
        """

    @abstractmethod
    def run_remove(self, session: Session, names: Sequence[str]) -> None:
        """Remove packages, what depends on them, and what nothing needs any more.

        Raises:
            PackageError: A package cannot be removed.
        """

    def keeps_reasons(self, names: Collection[str]) -> bool:
        """Tell whether a tree of these packages says which of them only others need."""
        del names
        return True

    def settle(self, session: Session) -> None:
        """Have all builds leave the same files, after each run of the manager."""
        session.settle()

    def host_mirrors(self) -> tuple[HostMirror, ...]:
        """Return nothing: hosts with these managers have mirror lists."""
        return ()

    def url_variables(self, arch: str, release_version: str | None) -> Variables:
        """Return the variables of dnf.conf(5); zypper has the same."""
        own = rpm_architecture(arch)
        major, _, minor = (release_version or "").partition(".")
        known = release_version is not None
        return {
            "arch": own,
            "basearch": _BASE_ARCHITECTURES.get(own, own),
            "releasever": release_version,
            "releasever_major": major if known else None,
            "releasever_minor": minor if known else None,
        }

    def refresh(
        self,
        repositories: Sequence[ResolvedRepository],
        arch: str,
        host: HostPaths,
        *,
        force: bool,
    ) -> RepositoryState:
        """See :class:`kiwinb.packages.manager.PackageManager`."""
        state = metadata.refresh(repositories, arch, host.cache, force=force)
        for number, (alias, _digest) in enumerate(state.digests):
            if (directory_of(state.metadata, number) / "modules").exists():
                raise RepositoryError(
                    f"the repository {alias} has module streams, which kiwinb cannot choose yet",
                    remedy="Name a repository without modules, or build this image with KIWI NG.",
                )
        return state

    def bootstrap(self, context: StepContext, request: PackageRequest) -> None:
        """Install the requested packages into an empty tree, with all that they require."""
        self.install(context, request)

    def install(self, context: StepContext, request: PackageRequest) -> None:
        """Install packages and groups or patterns."""
        wants = self.wants(request)
        resolved = resolver(context.root, request).install(
            wants, ignore=request.ignore, recommended=request.recommended
        )
        self._run(context, request, resolved)

    def upgrade(self, context: StepContext, request: PackageRequest) -> None:
        """Upgrade all packages."""
        resolved = resolver(context.root, request).install((), upgrade=True)
        self._run(context, request, resolved)

    def _run(self, context: StepContext, request: PackageRequest, resolved: Resolution) -> None:
        if not resolved.new and not request.wanted and not request.collections:
            return
        with opened(context, request.state.epoch) as session:
            repositories = stage(session, request, resolved.new)
            context.progress(0.3)
            aliases = {item.name: request.used[item.repository].alias for item in resolved.new}
            with naming_origins(lambda: aliases):
                self.run_install(session, request, repositories, resolved)
            context.progress(0.9)
            check_result(context.root, resolved, self.name)
            self.settle(session)

    @property
    @abstractmethod
    def name(self) -> str:
        """The value of ``<packagemanager>``."""

    def forecast(
        self, changes: PackageChanges, host: HostPaths, base: TreeFiles | None = None
    ) -> tuple[AvailablePackage, ...]:
        """Resolve each transaction of the build, as the build does, without a tree."""
        return forecast(self.wants, self.keeps_reasons, changes, base)

    def remove(self, context: StepContext, packages: Sequence[str], *, force: bool) -> None:
        """Remove packages; see :class:`kiwinb.packages.manager.PackageManager`."""
        names = among_installed(context, self.installed(context.root), packages)
        if not names:
            return
        with opened(context, _epoch(context.root)) as session:
            if force:
                words = ("rpm", "--root", str(context.root), "--erase", "--nodeps", "--allmatches")
                session.run([*words, "--", *names])
            else:
                self.run_remove(session, names)
            self.settle(session)

    def configure_image(
        self, context: StepContext, repositories: Sequence[ResolvedRepository]
    ) -> None:
        """Write the repositories and keys for the image's own package manager."""
        configure(context.root, repositories, self.repository_directory, context.log)

    @property
    @abstractmethod
    def repository_directory(self) -> str:
        """Directory of the tree with the ``.repo`` files of the package manager."""

    def installed(self, root: Path) -> tuple[Package, ...]:
        """List the installed packages, sorted by name."""
        return installed(root)

    def changes(self, root: Path) -> str:
        """Return the changelog of each package."""
        return changes(root)

    def verify(self, context: StepContext) -> str:
        """Return the output of ``rpm --verify --all`` of the tree's own rpm."""
        with Chroot(context.root) as chroot:
            return chroot.run(["rpm", "--verify", "--all"], check=False)


def package_names(names: Sequence[str]) -> list[str]:
    """Return names that no tool takes for options or for files of the host.

    Raises:
        PackageError: One is no name of a package.
    """
    return checked_names(names, _UNFIT, "createrepo_c .")


def _epoch(root: Path) -> int:
    """The time of the packages of a tree: that of their installation, which is the same for all."""
    headers = headers_of(DirectoryFiles(root)).values()
    return max((header.number(Tag.INSTALLTIME) or 0 for header in headers), default=0)
