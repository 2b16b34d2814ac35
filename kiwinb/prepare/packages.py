"""Steps that change which packages the root tree has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kiwinb.packages import MANAGERS
from kiwinb.packages.manager import RepositoryState, ResolvedRepository
from kiwinb.steps.step import Output, StepContext


@dataclass(frozen=True)
class Bootstrap:
    """Fill the empty tree with the bootstrap packages.

    Attributes:
        manager: Name of the package manager.
        repositories: Where packages come from.
        state: What these held when their lists were read.
        packages: Packages besides the least a system needs.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    manager: str
    repositories: tuple[ResolvedRepository, ...]
    state: RepositoryState
    packages: tuple[str, ...]

    def run(self, context: StepContext) -> None:
        """Install them."""
        MANAGERS[self.manager].bootstrap(context, self.repositories, self.state, self.packages)


@dataclass(frozen=True)
class InstallPackages:
    """Install packages and collections into the tree.

    Attributes:
        manager: Name of the package manager.
        repositories: Where packages come from.
        state: What these held when their lists were read.
        packages: Package names.
        collections: Names of tasks, patterns or groups.
        ignore: Packages that are never to be installed.
        recommended: Install recommended packages, too.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    manager: str
    repositories: tuple[ResolvedRepository, ...]
    state: RepositoryState
    packages: tuple[str, ...]
    collections: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    recommended: bool = False

    def run(self, context: StepContext) -> None:
        """Install them."""
        MANAGERS[self.manager].install(
            context,
            self.repositories,
            self.state,
            self.packages,
            collections=self.collections,
            ignore=self.ignore,
            recommended=self.recommended,
        )


@dataclass(frozen=True)
class UpgradePackages:
    """Bring all packages of the tree up to date.

    Attributes:
        manager: Name of the package manager.
        repositories: Where packages come from.
        state: What these hold.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    manager: str
    repositories: tuple[ResolvedRepository, ...]
    state: RepositoryState

    def run(self, context: StepContext) -> None:
        """Upgrade them."""
        MANAGERS[self.manager].upgrade(context, self.repositories, self.state)


@dataclass(frozen=True)
class DeletePackages:
    """Remove packages from the tree.

    Attributes:
        manager: Name of the package manager.
        packages: Package names.
        force: Just these, dependencies disregarded (``delete``); otherwise with what depends on
            them and what nothing needs any more (``uninstall``).
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    manager: str
    packages: tuple[str, ...]
    force: bool

    def run(self, context: StepContext) -> None:
        """Remove them."""
        MANAGERS[self.manager].remove(context, self.packages, force=self.force)


@dataclass(frozen=True)
class ConfigureRepositories:
    """Write the repositories that the image is to have into the tree.

    Attributes:
        manager: Name of the package manager.
        repositories: Those that are ``included_in_image``; others are passed over.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    manager: str
    repositories: tuple[ResolvedRepository, ...]

    def run(self, context: StepContext) -> None:
        """Write them."""
        MANAGERS[self.manager].configure_image(context, self.repositories)


@dataclass(frozen=True)
class CleanPackageManager:
    """Remove caches, logs and locks of the package manager from the tree.

    Attributes:
        manager: Name of the package manager.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    manager: str

    def run(self, context: StepContext) -> None:
        """Remove them."""
        MANAGERS[self.manager].clean(context)
