"""The protocol that every kind of package database implements, and the data that it returns."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class TreeFiles(Protocol):
    """The files of a root tree, in an inspected tree or a directory.

    Paths start at the root of the tree (``/var/lib``). ``surrogateescape`` decodes their bytes that
    are not UTF-8.
    """

    @property
    def has_contents(self) -> bool:
        """Whether the content of files can be read; it cannot in a mere list of files."""
        ...

    def exists(self, path: str, /) -> bool:
        """Tell whether there is a file of any kind at the path."""
        ...

    def resolved(self, path: str, /) -> str:
        """Return where a path leads in the tree when symbolic links are followed."""
        ...

    def found(self, paths: Sequence[str], /) -> Mapping[str, str]:
        """Return those paths that lead to regular files, each with its path without links."""
        ...

    def read(self, path: str, /) -> bytes:
        """Read the content of a file."""
        ...

    def read_many(self, paths: Sequence[str], /) -> Mapping[str, bytes]:
        """Read the content of several files, by path."""
        ...

    def below(self, directory: str, /) -> Sequence[str]:
        """List the paths below a directory, sorted; empty if the directory does not exist."""
        ...


@dataclass(frozen=True)
class Requirement:
    """Something that a package requires: a package, or a name that packages provide.

    Attributes:
        name: Name of the package, or the provided name.
        operator: ``<<``, ``<=``, ``=``, ``>=`` or ``>>``; empty if any version will do. A database
            may have more, which its method ``meets`` knows.
        version: The version to compare with.
    """

    name: str
    operator: str = ""
    version: str = ""


INSTALLED = "installed"
"""The state of a package whose installation is complete."""

Alternatives = tuple[Requirement, ...]
"""Requirements of which one is enough, the preferred one first."""


@dataclass(frozen=True)
class Package:
    """A package that has files in a tree.

    Attributes:
        name: Name of the package.
        version: Version, as the package manager prints it.
        arch: Architecture in the package manager's terms.
        label: Unique label: the name, with the architecture if the package is installed for
            several architectures.
        installed_size: Installed size in bytes, as the package states; ``None`` if unknown.
        section: Section or group.
        essential: Whether every system of this kind needs it.
        base: Whether it belongs to the base system of the distribution.
        automatic: Whether it was installed because another package needs it; ``None`` if unknown.
        depends: Requirements.
        recommends: Requirements that are normally installed together with it.
        provides: Names that it provides, each with a version or an empty string.
        summary: Description in one line.
        license: License, if the database has it.
        source: Name of the source package; empty if unknown.
        source_version: Version of the source package.
        vendor: Who made the package; empty if the database does not say.
        state: How far its installation came, in the package manager's terms; :data:`INSTALLED` if
            it is complete.
    """

    name: str
    version: str
    arch: str
    label: str
    installed_size: int | None
    section: str = ""
    essential: bool = False
    base: bool = False
    automatic: bool | None = None
    depends: tuple[Alternatives, ...] = ()
    recommends: tuple[Alternatives, ...] = ()
    provides: tuple[tuple[str, str], ...] = ()
    summary: str = ""
    license: str = ""
    source: str = ""
    source_version: str = ""
    vendor: str = ""
    state: str = INSTALLED


@dataclass(frozen=True)
class StatedFile:
    """What a database states about a path of a package; ``None`` if it does not say.

    Attributes:
        path: The path, as the package names it.
        kind: Its type, as in the tables of trees: ``file``, ``directory``, ``symlink`` ….
        size: Size of the file in bytes.
        mode: Permissions, 0 to 0o7777.
        digest: Algorithm and digest in hexadecimal: ``sha256:…``.
        target: Target of the symbolic link.
        config: Whether it is a configuration file, which people change.
        optional: Whether it need not be there.
    """

    path: str
    kind: str | None = None
    size: int | None = None
    mode: int | None = None
    digest: str | None = None
    target: str | None = None
    config: bool = False
    optional: bool = False


class PackageDatabase(Protocol):
    """A kind of package database; registered in ``kiwinb.packages.databases``."""

    @property
    def name(self) -> str:
        """Name of the kind."""
        ...

    @property
    def revision(self) -> int:
        """See :class:`~kiwinb.steps.registry.Plugin`."""
        ...

    @property
    def kept_in(self) -> str:
        """Regular expression of the paths in its directories that the other methods read."""
        ...

    @property
    def homes(self) -> Sequence[str]:
        """Directories of the database and of the package manager's state, as it names them."""
        ...

    @property
    def own_files(self) -> Mapping[str, str]:
        """Descriptions of the package manager's own files, by regular expression of their paths."""
        ...

    def present(self, tree: TreeFiles) -> bool:
        """Tell whether the tree has a database of this kind."""
        ...

    def packages(self, tree: TreeFiles) -> tuple[Package, ...]:
        """List the packages that have files in the tree, sorted by name and architecture.

        Raises:
            InspectError: The database is damaged.
        """
        ...

    def owned(
        self, tree: TreeFiles, packages: Sequence[Package]
    ) -> Iterator[tuple[str, list[str]]]:
        """Yield the label of each package, and the paths that the database lists for it.

        The paths are absolute, and as the package names them: a parent directory may be a symbolic
        link in the tree.
        """
        ...

    def stated(
        self, tree: TreeFiles, packages: Sequence[Package]
    ) -> Iterator[tuple[str, list[StatedFile]]]:
        """Yield the label of each package, and what the database states about its paths.

        Raises:
            InspectError: The database is damaged.
        """
        ...

    def scripts(self, tree: TreeFiles, packages: Sequence[Package]) -> Mapping[str, str]:
        """Read the scripts of packages that ran at installation, by a name for each script."""
        ...

    def compare(self, a: str, b: str) -> int:
        """Compare two versions.

        Returns:
            A negative number if ``a`` is earlier than ``b``, 0 if they are equal, a positive
            number if ``a`` is later.
        """
        ...

    def meets(self, version: str, requirement: Requirement) -> bool:
        """Tell whether a version is one that is required.

        Args:
            version: Version of a package, or of a name that it provides; empty if it has none.
            requirement: What another package requires.
        """
        ...


_OPERATORS: Mapping[str, Callable[[int, int], bool]] = {
    "<<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    ">=": operator.ge,
    ">>": operator.gt,
}


def met(compare: Callable[[str, str], int], version: str, requirement: Requirement) -> bool:
    """Tell whether a version is one that is required, in an order of versions.

    Args:
        compare: Function that compares versions, as :meth:`PackageDatabase.compare`.
        version: The version; an empty one only meets requirements without a version.
        requirement: What is required.
    """
    if not requirement.operator:
        return True
    return bool(version) and _OPERATORS[requirement.operator](
        compare(version, requirement.version), 0
    )
