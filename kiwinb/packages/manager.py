"""The protocol that every package manager implements, and the data that it works with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from kiwinb.description.model import CollectionModule
from kiwinb.packages.databases.database import Package, TreeFiles
from kiwinb.packages.variables import Variables
from kiwinb.settings import settings_file
from kiwinb.steps.keys import NOT_IN_KEY, Digest, Source
from kiwinb.steps.step import HostPaths, StepContext


@dataclass(frozen=True)
class ResolvedRepository:
    """A repository of the description, resolved to URLs that the host can reach.

    Attributes:
        alias: Name in logs, errors and file names.
        path: The source path in the description (``mirror:debian``), which keys cover.
        urls: URLs on this host; the first one that answers is used. Keys do not cover them, because
            the state of a repository identifies its content, wherever it was read.
        sourcetype: ``metalink`` or ``mirrorlist`` if there is a list of mirrors at the URLs;
            ``None`` if the repository itself is there.
        variables: What ``$NAME`` stands for in the URLs of a mirrorlist: name and value.
        keys: Keys that sign it, from ``<signing>`` or else from the host.
        checked: Whether signatures are checked.
        index_required: Whether the index has to be signed, even if all packages are.
        packages_checked: Whether the signature of each package is checked; ``None`` if the
            description does not say.
        distribution: Suite (apt), or a flat path that ends in ``/``.
        components: Components (apt).
        architectures: Architectures in the package manager's terms; empty for that of the build.
        priority: Priority from the description; a smaller number takes precedence.
        username: User name for HTTP authentication.
        password: Password for HTTP authentication.
        url_logins: URL, user name and password, for URLs that have their own.
        outdated_allowed: Whether an index that has expired, or is older than one seen before, is
            taken all the same; the settings say so. It does not count for the image's own use.
        used_for_build: Whether packages are installed from it.
        included_in_image: Whether it is also configured in the image.
        image_url: URL for the configuration in the image, if ``included_in_image``.
    """

    alias: str
    path: str
    urls: tuple[str, ...] = field(metadata=NOT_IN_KEY)
    keys: tuple[Source, ...] = ()
    sourcetype: str | None = None
    variables: tuple[tuple[str, str | None], ...] = field(default=(), metadata=NOT_IN_KEY)
    checked: bool = True
    index_required: bool = False
    packages_checked: bool | None = None
    distribution: str | None = None
    components: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    priority: int | None = None
    username: str | None = field(default=None, metadata=NOT_IN_KEY)
    password: str | None = field(default=None, metadata=NOT_IN_KEY, repr=False)
    url_logins: tuple[tuple[str, str, str], ...] = field(
        default=(), metadata=NOT_IN_KEY, repr=False
    )
    outdated_allowed: bool = field(default=False, metadata=NOT_IN_KEY)
    used_for_build: bool = True
    included_in_image: bool = False
    image_url: str | None = None

    @property
    def logins(self) -> tuple[tuple[str, str, str], ...]:
        """URL, user name and password of each URL that needs them."""
        own = {url: (url, user, password) for url, user, password in self.url_logins}
        if self.username is None:
            return tuple(own.values())
        given = (self.username, self.password or "")
        return tuple(own.get(url, (url, *given)) for url in self.urls)


def outdated_remedy(repository: ResolvedRepository) -> str:
    """Say how to use a repository although its index is outdated."""
    return (
        f"To use it all the same, give --allow-outdated {repository.alias}, or set "
        f'outdated-repositories = ["{repository.alias}"] in {settings_file()}.'
    )


@dataclass(frozen=True)
class HostMirror:
    """A base URL that the host's own package manager reads from.

    Attributes:
        url: Base URL, without a slash at its end.
        aliases: Aliases for it in descriptions, such as ``debian`` for ``mirror:debian``.
        signed_by: Keyring files, or an armored key, that the host trusts for it.
    """

    url: str
    aliases: tuple[str, ...]
    signed_by: str = ""


@dataclass(frozen=True)
class RepositoryState:
    """Content of a set of repositories when their metadata was last read.

    Attributes:
        digests: Alias of each repository, and the SHA-256 of its index (apt: ``InRelease``).
        epoch: Date of the newest index, in seconds since 1970-01-01 UTC; the build uses it for
            timestamps.
        metadata: Directory that holds the metadata.
        read_at: Time of reading, in seconds since 1970-01-01 UTC.
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
        version: Full version, as the package manager prints it.
        arch: Architecture in the package manager's terms.
        size: Size of the package file in bytes; 0 if it is installed already.
        sha256: SHA-256 of the package file; empty if the repository does not state it.
        installed_size: Installed size in bytes, as the package states.
        why: ``named`` (in the description), ``essential``, ``dependency`` or ``base container``.
    """

    name: str
    version: str
    arch: str
    size: int
    sha256: str = ""
    installed_size: int = 0
    why: str = ""


@dataclass(frozen=True)
class PackageRequest:
    """A request to a package manager.

    Attributes:
        arch: Architecture of the packages, as ``uname -m`` prints it.
        repositories: All repositories of the description.
        state: State of the repositories that packages are installed from.
        packages: Package names.
        collections: Names of tasks, patterns or groups.
        products: Names of products.
        modules: Module streams to enable or disable.
        ignore: Packages that must not be installed.
        recommended: Whether to install recommended packages, too.
        excludedocs: Whether to leave out documentation; ``None`` if the description does not say.
        packages_checked: Whether to check the signature of each package of repositories that do
            not say it themselves.
        release_version: Release of the distribution, for repositories whose URL contains it.
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
    packages_checked: bool = False
    release_version: str | None = None

    @property
    def used(self) -> tuple[ResolvedRepository, ...]:
        """The repositories that packages are installed from."""
        return tuple(item for item in self.repositories if item.used_for_build)

    @property
    def wanted(self) -> tuple[str, ...]:
        """The package names, without ignored ones."""
        return tuple(name for name in self.packages if name not in self.ignore)


@dataclass(frozen=True)
class PackageChanges:
    """All that a build does with packages, in order.

    Scripts of the description may do more.

    Attributes:
        bootstrap: The first packages of an empty tree; ``None`` if a base container has them.
        install: The packages to install then.
        uninstall: Packages to remove then, with all that depends on them or is no longer needed.
        delete: Packages to remove at last, and only these.
    """

    bootstrap: PackageRequest | None
    install: PackageRequest
    uninstall: tuple[str, ...] = ()
    delete: tuple[str, ...] = ()

    @property
    def named(self) -> tuple[str, ...]:
        """The packages that the description names."""
        first = self.bootstrap.packages if self.bootstrap else ()
        return (*first, *self.install.wanted)


def among_installed(
    context: StepContext, installed: Sequence[Package], names: Sequence[str]
) -> list[str]:
    """Return those of some packages to remove that are installed; the others are logged.

    Args:
        context: Context of the step.
        installed: The installed packages.
        names: Names of packages to remove.
    """
    there = {package.name for package in installed}
    for name in names:
        if name not in there:
            context.log(f"{name} is not installed, so it is not removed")
    return [name for name in names if name in there]


class PackageManager(Protocol):
    """A package manager; each is one Python package, registered in ``kiwinb.packages``."""

    @property
    def name(self) -> str:
        """The value of ``<packagemanager>``."""
        ...

    @property
    def revision(self) -> int:
        """See :class:`~kiwinb.steps.registry.Plugin`."""
        ...

    @property
    def tools(self) -> tuple[str, ...]:
        """Programs of the host that it calls."""
        ...

    @property
    def honours(self) -> frozenset[str]:
        """What changes what it installs: elements and attributes of packages and repositories.

        They are children of ``<packages>``, and attributes of ``<packages>`` and ``<repository>``.
        """
        ...

    @property
    def splits_versions(self) -> bool:
        """Whether versions are ``epoch:version-release``, split into fields in package lists."""
        ...

    @property
    def traces(self) -> tuple[str, ...]:
        """Files that its programs leave behind in a tree; see :mod:`kiwinb.packages.traces`.

        They are caches, locks, backups and logs that no system needs and that differ between
        builds. What its own methods leave behind, they remove themselves, and also keys and IDs
        that each machine has to make for itself.
        """
        ...

    def host_mirrors(self) -> tuple[HostMirror, ...]:
        """Return the mirrors that this host's own package manager reads from, in its order."""
        ...

    def url_variables(self, arch: str, release_version: str | None) -> Variables:
        """Return what stands for something else in URLs of repositories, such as ``$basearch``.

        Args:
            arch: Architecture of the packages, as ``uname -m`` prints it.
            release_version: Release of the distribution, if the description says it.
        """
        ...

    def refresh(
        self,
        repositories: Sequence[ResolvedRepository],
        arch: str,
        host: HostPaths,
        *,
        force: bool,
    ) -> RepositoryState:
        """Read the metadata of the repositories, or reuse metadata that was read before.

        This runs before planning, outside any sandbox, as the user.

        Args:
            repositories: All repositories of the description.
            arch: Architecture of the packages, as ``uname -m`` prints it.
            host: Directories of the host.
            force: Whether to read the metadata again in any case.

        Raises:
            RepositoryError: A repository cannot be reached, or its signature is not valid.
        """
        ...

    def bootstrap(self, context: StepContext, request: PackageRequest) -> None:
        """Install the packages and the essential packages of the system into an empty tree.

        Raises:
            PackageError: A package does not exist or cannot be installed.
        """
        ...

    def install(self, context: StepContext, request: PackageRequest) -> None:
        """Install packages into a bootstrapped tree.

        Raises:
            PackageError: A package does not exist or cannot be installed.
        """
        ...

    def upgrade(self, context: StepContext, request: PackageRequest) -> None:
        """Upgrade all packages of a tree; the request names no packages.

        Raises:
            PackageError: A package cannot be installed.
        """
        ...

    def forecast(
        self, changes: PackageChanges, host: HostPaths, base: TreeFiles | None = None
    ) -> tuple[AvailablePackage, ...]:
        """List the packages that a tree would have after all changes, sorted by name.

        This runs outside any sandbox, and needs no tree.

        Args:
            changes: What the build does with packages.
            host: Directories of the host.
            base: The tree to which the changes are made; ``None`` for an empty one.

        Raises:
            PackageError: A package does not exist or cannot be installed.
        """
        ...

    def remove(self, context: StepContext, packages: Sequence[str], *, force: bool) -> None:
        """Remove packages.

        Args:
            context: Context of the step.
            packages: Package names; packages that are not installed are only logged.
            force: Whether to remove only these packages, even if others depend on them, as KIWI
                NG's ``delete`` does. Otherwise, packages that depend on them and packages that
                are no longer needed are removed, too, as ``uninstall`` does.

        Raises:
            PackageError: A package could not be removed.
        """
        ...

    def configure_image(
        self, context: StepContext, repositories: Sequence[ResolvedRepository]
    ) -> None:
        """Configure repositories that are ``included_in_image``, with their keys, in the tree."""
        ...

    def installed(self, root: Path) -> tuple[Package, ...]:
        """List the packages in the tree's database, sorted by name, without running programs."""
        ...

    def changes(self, root: Path) -> str:
        """Return the text of the ``.changes`` result file, which lists changes of packages."""
        ...

    def verify(self, context: StepContext) -> str:
        """Return the text of the ``.verified`` result file, which lists modified package files."""
        ...
