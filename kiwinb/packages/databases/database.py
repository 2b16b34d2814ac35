"""What every package database of a root tree offers; each kind is one module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class TreeFiles(Protocol):
    """What a database reads of a root tree: an inspected tree, or a directory.

    Paths start at the root of the tree (``/var/lib``); bytes that are not UTF-8 are in them by
    ``surrogateescape``.
    """

    @property
    def has_contents(self) -> bool:
        """Whether files can be read; those of a mere list of files cannot."""
        ...

    def exists(self, path: str, /) -> bool:
        """Whether there is anything at the path."""
        ...

    def read(self, path: str, /) -> bytes:
        """What is in a file."""
        ...

    def read_many(self, paths: Sequence[str], /) -> Mapping[str, bytes]:
        """What is in several files, by path."""
        ...

    def below(self, directory: str, /) -> Sequence[str]:
        """The paths below a directory, sorted; none when it is not there."""
        ...


@dataclass(frozen=True)
class Requirement:
    """What a package needs: another one, or something that another one provides.

    Attributes:
        name: Of the package or of what is provided.
        operator: ``<<``, ``<=``, ``=``, ``>=`` or ``>>``; empty when any version will do.
        version: That the operator compares with.
    """

    name: str
    operator: str = ""
    version: str = ""


Alternatives = tuple[Requirement, ...]
"""Requirements any of which is enough, the preferred one first."""


@dataclass(frozen=True)
class Package:
    """An installed package.

    Attributes:
        name: Its name.
        version: As its package manager prints it.
        arch: Architecture in the package manager's terms.
        label: What tells it from all others: its name, with the architecture where it is
            installed for several.
        installed_size: In bytes, as the package says; ``None`` when not known.
        section: Section or group.
        essential: No system of the kind is without it.
        base: The distribution counts it among its base system.
        automatic: It was installed because another package needs it; ``None`` when not known.
        depends: What it needs.
        recommends: What it is installed with as a rule.
        provides: What it stands in for, with the version where there is one.
        summary: One line on what it is.
        license: License, where the database has it.
        source: Name of the source package; empty when not known.
        source_version: Version of the source package.
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


class PackageDatabase(Protocol):
    """One kind of package database; registered in ``kiwinb.packages.databases``."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def revision(self) -> int:
        """See :class:`~kiwinb.steps.registry.Plugin`."""
        ...

    @property
    def kept_in(self) -> str:
        """Regular expression of the paths that are read to answer."""
        ...

    @property
    def home(self) -> str:
        """Regular expression, without groups that capture, of the paths of database and state."""
        ...

    @property
    def own_files(self) -> Mapping[str, str]:
        """What the package manager itself keeps: regular expressions of paths, and what each is."""
        ...

    def present(self, tree: TreeFiles) -> bool:
        """Whether the tree has a database of this kind."""
        ...

    def packages(self, tree: TreeFiles) -> tuple[Package, ...]:
        """The installed packages, sorted by name and architecture."""
        ...

    def owned(
        self, tree: TreeFiles, packages: Sequence[Package]
    ) -> Iterator[tuple[str, list[str]]]:
        """The label of each package, and the paths that the database lists for it.

        They are absolute and as the package names them: a directory on the way may be a symbolic
        link in the tree.
        """
        ...

    def scripts(self, tree: TreeFiles, packages: Sequence[Package]) -> Mapping[str, str]:
        """The text of the scripts that packages ran, by what to call each."""
        ...

    def compare(self, a: str, b: str) -> int:
        """Compare two versions: negative, 0 or positive when ``a`` is earlier, equal or later."""
        ...
