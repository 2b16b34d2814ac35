"""What every package manager offers to the steps of a build."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from kiwinb.description.model import CollectionModule
from kiwinb.packages.databases.database import Package
from kiwinb.steps.keys import NOT_IN_KEY, Digest, Source
from kiwinb.steps.step import HostPaths, StepContext


@dataclass(frozen=True)
class ResolvedRepository:
    """A repository of the description, resolved to what the host can reach.

    Attributes:
        alias: Name in logs, errors and file names.
        path: The source path as the description has it (``mirror:debian``): it is in the key.
        urls: Where that is on this host; the first that answers is used. Not in the key: the
            state of a repository says what it holds, wherever it was read.
        keys: Keys that sign it: from ``<signing>``, else the distribution's keyring of the host.
        checked: Whether signatures are checked.
        distribution: Suite (apt), or a flat path that ends in ``/``.
        components: Components (apt).
        architectures: Architectures in the package manager's own terms; empty for the native one.
        priority: As in the description; smaller comes first.
        username: For HTTP authentication.
        password: For HTTP authentication.
        used_for_build: Packages are installed from it.
        included_in_image: It is configured in the image as well.
        image_url: What the image's own configuration names, for ``included_in_image``.
    """

    alias: str
    path: str
    urls: tuple[str, ...] = field(metadata=NOT_IN_KEY)
    keys: tuple[Source, ...] = ()
    checked: bool = True
    distribution: str | None = None
    components: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    priority: int | None = None
    username: str | None = field(default=None, metadata=NOT_IN_KEY)
    password: str | None = field(default=None, metadata=NOT_IN_KEY, repr=False)
    used_for_build: bool = True
    included_in_image: bool = False
    image_url: str | None = None


@dataclass(frozen=True)
class HostMirror:
    """A base URL that the host's own package manager reads from.

    Attributes:
        url: Base URL, without a slash at its end.
        aliases: Aliases that mean it in descriptions: ``debian`` for ``mirror:debian``.
        signed_by: Keyring files, or an armored key itself, that the host trusts for it.
    """

    url: str
    aliases: tuple[str, ...]
    signed_by: str = ""


@dataclass(frozen=True)
class RepositoryState:
    """What a set of repositories held when their metadata was read last.

    Attributes:
        digests: By alias, the SHA-256 of the signed index (apt: ``InRelease``).
        epoch: Date of the newest index, in seconds since 1970-01-01 UTC; all that a build stamps
            with a time of its own is stamped with this one.
        metadata: Directory that holds the metadata itself.
        read_at: When it was read, in seconds since 1970-01-01 UTC.
    """

    digests: tuple[tuple[str, Digest], ...]
    epoch: int
    metadata: Path = field(metadata=NOT_IN_KEY)
    read_at: float = field(default=0.0, metadata=NOT_IN_KEY)


@dataclass(frozen=True)
class AvailablePackage:
    """A package of a repository that a build would install.

    Attributes:
        name: Package name.
        version: Full version as the package manager prints it.
        arch: Architecture in the package manager's terms.
        size: Of the package file, in bytes.
        sha256: Of the package file; empty when the repository does not say it.
    """

    name: str
    version: str
    arch: str
    size: int
    sha256: str = ""


@dataclass(frozen=True)
class PackageRequest:
    """What a build asks of a package manager: one value, so that an option more touches no call.

    Attributes:
        arch: Architecture of the packages, as ``uname -m`` prints it.
        repositories: All repositories of the description.
        state: What those that are used for the build held when their metadata was read.
        packages: Package names.
        collections: Names of tasks, patterns or groups.
        products: Names of products.
        modules: Module streams to enable or disable.
        ignore: Packages that are never to be installed.
        recommended: Install recommended packages, too.
        excludedocs: Leave documentation out; ``None`` when the description does not say.
        release_version: Release of the distribution, for repositories that are named by it.
    """

    arch: str
    repositories: tuple[ResolvedRepository, ...]
    state: RepositoryState
    packages: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    modules: tuple[CollectionModule, ...] = ()
    ignore: tuple[str, ...] = ()
    recommended: bool = False
    excludedocs: bool | None = None
    release_version: str | None = None

    @property
    def used(self) -> tuple[ResolvedRepository, ...]:
        """The repositories that packages are installed from."""
        return tuple(item for item in self.repositories if item.used_for_build)

    @property
    def wanted(self) -> tuple[str, ...]:
        """The package names without those that are ignored."""
        return tuple(name for name in self.packages if name not in self.ignore)


class PackageManager(Protocol):
    """One package manager; each is one package, registered in ``kiwinb.packages``."""

    @property
    def name(self) -> str:
        """What ``<packagemanager>`` calls it."""
        ...

    @property
    def revision(self) -> int:
        """See :class:`~kiwinb.steps.registry.Plugin`."""
        ...

    @property
    def tools(self) -> tuple[str, ...]:
        """Tools of the host that it calls."""
        ...

    @property
    def splits_versions(self) -> bool:
        """Whether a version is ``epoch:version-release``, three fields in lists of packages."""
        ...

    def host_mirrors(self) -> tuple[HostMirror, ...]:
        """What this host's own installation of the package manager reads from, in its order."""
        ...

    def refresh(
        self,
        repositories: Sequence[ResolvedRepository],
        arch: str,
        host: HostPaths,
        *,
        force: bool,
    ) -> RepositoryState:
        """Read the metadata of the repositories, or take what was read before unless forced.

        Runs before planning, outside of any sandbox, as the user.

        Raises:
            RepositoryError: One cannot be reached or its signature does not hold.
        """
        ...

    def bootstrap(self, context: StepContext, request: PackageRequest) -> None:
        """Fill an empty tree with the packages and the least a system of this kind needs.

        Raises:
            PackageError: A package is not there or cannot be installed.
        """
        ...

    def install(self, context: StepContext, request: PackageRequest) -> None:
        """Install packages into a tree that was bootstrapped.

        Raises:
            PackageError: A package is not there or cannot be installed.
        """
        ...

    def upgrade(self, context: StepContext, request: PackageRequest) -> None:
        """Bring all packages of a tree up to date; the request names none.

        Raises:
            PackageError: A package cannot be installed.
        """
        ...

    def forecast(self, request: PackageRequest, host: HostPaths) -> tuple[AvailablePackage, ...]:
        """Say which packages an empty tree gets, sorted by name; runs outside of any sandbox.

        Raises:
            PackageError: A package is not there or cannot be installed.
        """
        ...

    def remove(self, context: StepContext, packages: Sequence[str], *, force: bool) -> None:
        """Remove packages.

        Args:
            context: Of the step.
            packages: Names; one that is not installed is passed over with a line in the log.
            force: KIWI NG's ``delete``: just these, dependencies disregarded. Otherwise
                ``uninstall``: with what depends on them and what nothing needs any more.

        Raises:
            PackageError: A package could not be removed.
        """
        ...

    def configure_image(
        self, context: StepContext, repositories: Sequence[ResolvedRepository]
    ) -> None:
        """Write the repositories that are ``included_in_image``, and their keys, into the tree."""
        ...

    def clean(self, context: StepContext) -> None:
        """Remove caches, logs and locks that differ from run to run and no system needs."""
        ...

    def installed(self, root: Path) -> tuple[Package, ...]:
        """The packages in the tree's database, sorted by name; read without running anything."""
        ...

    def changes(self, root: Path) -> str:
        """Text of the ``.changes`` result file: what is known of the packages' changes."""
        ...

    def verify(self, context: StepContext) -> str:
        """Text of the ``.verified`` result file: files that differ from what packages say."""
        ...
