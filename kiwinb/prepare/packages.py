"""Install, remove and configure packages with the package manager that the description names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kiwinb.packages import MANAGERS
from kiwinb.packages.manager import PackageRequest, ResolvedRepository
from kiwinb.steps.registry import Used
from kiwinb.steps.step import Output, StepContext


@dataclass(frozen=True)
class Bootstrap:
    """Install the first packages into an empty tree.

    Attributes:
        manager: The package manager.
        request: The packages to install in addition to essential ones, and their repositories.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 2

    manager: Used
    request: PackageRequest

    def run(self, context: StepContext) -> None:
        """Install the packages."""
        MANAGERS.get_used(self.manager).bootstrap(context, self.request)


@dataclass(frozen=True)
class InstallPackages:
    """Install packages and collections into the tree.

    Attributes:
        manager: The package manager.
        request: The packages and collections to install, and their repositories.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 2

    manager: Used
    request: PackageRequest

    def run(self, context: StepContext) -> None:
        """Install the packages."""
        MANAGERS.get_used(self.manager).install(context, self.request)


@dataclass(frozen=True)
class UpgradePackages:
    """Upgrade all packages of the tree.

    Attributes:
        manager: The package manager.
        request: The repositories that packages come from.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 2

    manager: Used
    request: PackageRequest

    def run(self, context: StepContext) -> None:
        """Upgrade the packages."""
        MANAGERS.get_used(self.manager).upgrade(context, self.request)


@dataclass(frozen=True)
class DeletePackages:
    """Remove packages from the tree.

    Attributes:
        manager: The package manager.
        packages: Package names.
        force: Whether to remove only these packages, even if others depend on them (``delete``).
            Otherwise, packages that depend on them and packages that are no longer needed are
            removed, too (``uninstall``).
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    manager: Used
    packages: tuple[str, ...]
    force: bool

    def run(self, context: StepContext) -> None:
        """Remove the packages."""
        MANAGERS.get_used(self.manager).remove(context, self.packages, force=self.force)


@dataclass(frozen=True)
class ConfigureRepositories:
    """Configure repositories in the tree, for the image's own package manager.

    Attributes:
        manager: The package manager.
        repositories: The repositories; those that are not ``included_in_image`` are skipped.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    manager: Used
    repositories: tuple[ResolvedRepository, ...]

    def run(self, context: StepContext) -> None:
        """Write the configuration."""
        MANAGERS.get_used(self.manager).configure_image(context, self.repositories)
