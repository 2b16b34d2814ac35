"""Install, remove and configure packages, by whichever package manager the description names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kiwinb.packages import MANAGERS
from kiwinb.packages.manager import PackageRequest, ResolvedRepository
from kiwinb.steps.registry import Used
from kiwinb.steps.step import Output, StepContext


@dataclass(frozen=True)
class Bootstrap:
    """Fill the empty tree with the first packages.

    Attributes:
        manager: The package manager.
        request: The packages besides the least a system needs, and where they come from.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 2

    manager: Used
    request: PackageRequest

    def run(self, context: StepContext) -> None:
        """Install them."""
        MANAGERS.get_used(self.manager).bootstrap(context, self.request)


@dataclass(frozen=True)
class InstallPackages:
    """Install packages and collections into the tree.

    Attributes:
        manager: The package manager.
        request: What to install, and where it comes from.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 2

    manager: Used
    request: PackageRequest

    def run(self, context: StepContext) -> None:
        """Install them."""
        MANAGERS.get_used(self.manager).install(context, self.request)


@dataclass(frozen=True)
class UpgradePackages:
    """Bring all packages of the tree up to date.

    Attributes:
        manager: The package manager.
        request: Where packages come from.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 2

    manager: Used
    request: PackageRequest

    def run(self, context: StepContext) -> None:
        """Upgrade them."""
        MANAGERS.get_used(self.manager).upgrade(context, self.request)


@dataclass(frozen=True)
class DeletePackages:
    """Remove packages from the tree.

    Attributes:
        manager: The package manager.
        packages: Package names.
        force: Just these, dependencies disregarded (``delete``); otherwise with what depends on
            them and what nothing needs any more (``uninstall``).
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    manager: Used
    packages: tuple[str, ...]
    force: bool

    def run(self, context: StepContext) -> None:
        """Remove them."""
        MANAGERS.get_used(self.manager).remove(context, self.packages, force=self.force)


@dataclass(frozen=True)
class ConfigureRepositories:
    """Write the repositories that the image is to have into the tree.

    Attributes:
        manager: The package manager.
        repositories: Those that are ``included_in_image``; others are passed over.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    manager: Used
    repositories: tuple[ResolvedRepository, ...]

    def run(self, context: StepContext) -> None:
        """Write them."""
        MANAGERS.get_used(self.manager).configure_image(context, self.repositories)


@dataclass(frozen=True)
class CleanPackageManager:
    """Remove caches, logs and locks of the package manager from the tree.

    Attributes:
        manager: The package manager.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    manager: Used

    def run(self, context: StepContext) -> None:
        """Remove them."""
        MANAGERS.get_used(self.manager).clean(context)
