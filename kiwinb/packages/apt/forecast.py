"""Forecast the packages of a tree: let apt resolve each transaction of a build, one after another.

A build installs the essential packages first, then those of ``bootstrap``, then those of the
image. What is installed decides what the next transaction needs: if ``usr-is-merged`` is there,
nothing needs ``usrmerge`` and its Perl modules. So one transaction for all packages would give
another result. Here, apt resolves the same transactions with the same configuration, but only a
package database notes their results.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kiwinb.packages.apt.bootstrap import essential_packages
from kiwinb.packages.apt.config import debian_architecture
from kiwinb.packages.apt.session import Session, local_session, session
from kiwinb.packages.apt.transaction import Transaction
from kiwinb.packages.databases.database import TreeFiles
from kiwinb.packages.databases.dpkg import EXTENDED_STATES
from kiwinb.packages.databases.dpkg_status import STATUS, records
from kiwinb.packages.deb822 import paragraphs
from kiwinb.packages.manager import AvailablePackage, PackageChanges
from kiwinb.steps.step import HostPaths, StepContext

_RELATIONS = ("pre-depends", "depends", "recommends", "suggests", "enhances")
_KEPT = (
    *("package", "version", "architecture", "multi-arch", "source", "section", "priority"),
    *("essential", "protected", "important", "installed-size", "maintainer", "provides"),
    *(*_RELATIONS, "conflicts", "breaks", "replaces"),
)
"""Fields of a package that dpkg keeps and apt resolves with; see deb-control(5)."""


def forecast(
    changes: PackageChanges, host: HostPaths, base: TreeFiles | None
) -> tuple[AvailablePackage, ...]:
    """See :meth:`kiwinb.packages.manager.PackageManager.forecast`."""
    with tempfile.TemporaryDirectory() as scratch:
        tree = _NotedTree(Path(scratch), debian_architecture(changes.install.arch))
        context = StepContext(
            root=Path(scratch),
            out=None,
            inputs={},
            host=host,
            log=lambda line: None,
            progress=lambda fraction: None,
            rootless=os.geteuid() != 0,
        )
        if base is not None:
            tree.read(base)
        tree.write()
        if changes.bootstrap is not None:
            with session(context, changes.bootstrap) as apt:
                # dpkg installs these, so apt never marks any of them as automatic
                tree.note(apt, apt.simulate(essential_packages(apt).names), marks=False)
                if changes.bootstrap.packages:
                    tree.note(apt, apt.simulate(changes.bootstrap.packages))
        with session(context, changes.install) as apt:
            names = [*changes.install.wanted, *apt.tasks(changes.install.collections)]
            if names:
                tree.note(apt, apt.simulate(names))
        if removed := tree.among(changes.uninstall):
            with local_session(context) as apt:
                tree.note(apt, apt.simulate_purge(removed))
        tree.remove(changes.delete)
        return tree.packages(changes.named)


@dataclass
class _Noted:
    """A package in the database.

    Attributes:
        fields: Its fields, in lower case.
        origin: ``base`` container, ``first`` packages, or ``later``.
        automatic: Whether apt marks it as automatic.
    """

    fields: Mapping[str, str]
    origin: str
    automatic: bool = False


@dataclass
class _NotedTree:
    """A tree that consists of nothing but its package database.

    Attributes:
        root: Its directory.
        architecture: Architecture in Debian's terms.
    """

    root: Path
    architecture: str
    _packages: dict[tuple[str, str], _Noted] = field(default_factory=dict)

    def read(self, base: TreeFiles) -> None:
        """Begin with the packages of another tree."""
        for fields in records(base):
            if fields.get("status", "").split()[-1:] == ["installed"]:
                own = {name: text for name, text in fields.items() if name != "state"}
                self._packages[_key(own)] = _Noted(own, "base")
        places = base.found([EXTENDED_STATES])
        states = base.read(places[EXTENDED_STATES]).decode() if places else ""
        for fields in paragraphs(states):
            if fields.get("auto-installed") == "1":
                for package in self._called(f"{fields['package']}:{fields['architecture']}"):
                    self._packages[package].automatic = True

    def note(self, apt: Session, made: Transaction, *, marks: bool = True) -> None:
        """Note the result of a transaction.

        Args:
            apt: The session that resolved it.
            made: The transaction.
            marks: Whether apt runs the transaction and so marks packages as automatic.
        """
        self.remove(made.removed)
        records = {_key(fields): fields for fields in apt.records(made.installed)}
        for name, version, arch in made.installed:
            fields = records[name, arch]
            assert fields["version"] == version
            before = [self._packages[package] for package in self._called(name)]
            automatic = marks and (before[0].automatic if before else True)
            self.remove([name])  # an older version may be of another architecture
            self._packages[name, arch] = _Noted(fields, "later" if marks else "first", automatic)
        for name in made.manual:
            for package in self._called(name):
                self._packages[package].automatic = False
        self.write()

    def among(self, names: Iterable[str]) -> list[str]:
        """Return those of some names that are installed."""
        return [name for name in names if self._called(name)]

    def remove(self, names: Iterable[str]) -> None:
        """Remove packages, if they are installed."""
        for name in names:
            for package in self._called(name):
                del self._packages[package]

    def packages(self, named: Sequence[str]) -> tuple[AvailablePackage, ...]:
        """Return the packages, sorted by name.

        Args:
            named: The packages that the description names.
        """
        found = (_available(item, item.fields["package"] in named) for item in self._sorted())
        return tuple(found)

    def write(self) -> None:
        """Write the database, so that apt reads it."""
        noted = [*self._sorted()]
        status = "\n".join(map(_stanza, noted))
        states = "\n".join(
            f"Package: {item.fields['package']}\nArchitecture: {self._marked_as(item)}\n"
            "Auto-Installed: 1\n"
            for item in noted
            if item.automatic
        )
        for path, text in ((STATUS, status), (EXTENDED_STATES, states)):
            file = self.root / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    def _marked_as(self, item: _Noted) -> str:
        """Return the architecture under which apt marks a package."""
        arch = item.fields["architecture"]
        return self.architecture if arch == "all" else arch

    def _sorted(self) -> Iterator[_Noted]:
        return (self._packages[key] for key in sorted(self._packages))

    def _called(self, name: str) -> list[tuple[str, str]]:
        """Return the packages with a name, which may have a suffix for the architecture."""
        plain, _, arch = name.partition(":")
        fitting = (arch, "all") if arch == self.architecture else (arch,)
        choices = ("all", self.architecture) if not arch else fitting
        return [(plain, choice) for choice in choices if (plain, choice) in self._packages]


def _key(fields: Mapping[str, str]) -> tuple[str, str]:
    return fields["package"], fields["architecture"]


def _stanza(item: _Noted) -> str:
    kept = ((name, item.fields[name]) for name in _KEPT if name in item.fields)
    lines = [f"{name}: {' '.join(value.split())}" for name, value in kept]
    return "\n".join([*lines, "status: install ok installed", ""])


def _available(item: _Noted, is_named: bool) -> AvailablePackage:
    fields = item.fields
    if is_named or (item.origin == "later" and not item.automatic):
        why = "named"
    elif item.origin == "base":
        why = "base container"
    else:
        why = "essential" if fields.get("essential") == "yes" else "dependency"
    return AvailablePackage(
        fields["package"],
        fields["version"],
        fields["architecture"],
        int(fields.get("size") or 0),
        fields.get("sha256", ""),
        1024 * int(fields.get("installed-size") or 0),
        why,
    )
