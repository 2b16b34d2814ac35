"""The database of rpm, in each of the formats in which versions of rpm keep it.

Sources of the formats: the manual of rpm, rpm(8) and rpm-version(7).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from kiwinb.packages.databases import rpm_bdb, rpm_ndb, rpm_reasons
from kiwinb.packages.databases.bounds import MOST_TEXT, Allowance, damaged, size_of
from kiwinb.packages.databases.database import Package, Requirement, StatedFile, TreeFiles, met
from kiwinb.packages.databases.rpm_files import paths, stated
from kiwinb.packages.databases.rpm_header import Header, Tag
from kiwinb.packages.databases.rpm_relations import (
    PROVIDES,
    RECOMMENDS,
    REQUIRES,
    relations,
    requirements,
)
from kiwinb.packages.databases.sqlite import read_table
from kiwinb.packages.rpm_versions import compare_rpm_versions

_HOMES = ("/usr/lib/sysimage/rpm", "/usr/share/rpm", "/var/lib/rpm")
_SCRIPTS = {
    Tag.PRETRANS: "pretrans",
    Tag.PREIN: "pre",
    Tag.POSTIN: "post",
    Tag.POSTTRANS: "posttrans",
}
_SOURCE = re.compile(r"(?P<name>.+)-(?P<version>[^-]+-[^-]+)\.(no)?src\.rpm")


def _sqlite_blobs(data: bytes, where: str, log: bytes = b"") -> Iterator[bytes]:
    for (blob,) in read_table(data, log, "Packages", ("blob",), where):
        if not isinstance(blob, bytes):
            raise damaged(where, "a header of a package is damaged")
        yield blob


_SQLITE = "rpmdb.sqlite"
_FORMATS: Mapping[str, Callable[[bytes, str], Iterable[bytes]]] = {
    _SQLITE: _sqlite_blobs,
    "Packages.db": rpm_ndb.blobs,
    "Packages": rpm_bdb.blobs,
}


class Rpm:
    """The package database of Fedora, SUSE, and their derivatives."""

    name = "rpm"
    revision = 1
    homes = (*_HOMES, "/var/lib/dnf", "/usr/lib/sysimage/libdnf5", "/var/lib/zypp")
    kept_in = (
        f"({'|'.join(_HOMES)})/(rpmdb\\.sqlite(-wal)?|Packages(\\.db)?)"
        f"|{rpm_reasons.ZYPPER}|{re.escape(rpm_reasons.DNF5)}|{re.escape(rpm_reasons.DNF)}(-wal)?"
    )
    own_files: Mapping[str, str] = {
        rf"({'|'.join(_HOMES)})(/.*)?|/usr/lib/sysimage": "database of rpm",
        r"/(etc|var/lib|var/cache)/(dnf|yum|libdnf5|PackageKit)(/.*)?": "state of dnf",
        r"/usr/lib/sysimage/libdnf5(/.*)?": "state of dnf",
        r"/etc/yum\.repos\.d(/.*)?": "configuration of dnf",
        r"/var/(lib|cache)/zypp(/.*)?": "state of zypper",
        r"/etc/zypp(/.*)?": "configuration of zypper",
        r"/etc/pki/rpm-gpg(/.*)?": "keys of packages",
        r"/etc/alternatives(/.*)?|/var/lib/(rpm-)?alternatives(/.*)?": "state of alternatives",
    }

    def present(self, tree: TreeFiles) -> bool:
        """Tell whether the tree has a database of rpm."""
        return bool(_places(tree))

    def packages(self, tree: TreeFiles) -> tuple[Package, ...]:
        """List the packages, sorted by name and architecture.

        Raises:
            InspectError: The database is damaged.
        """
        headers = headers_of(tree)
        automatic = rpm_reasons.reasons(tree)
        offered = {name for header in headers.values() for name in header.strings(Tag.PROVIDENAME)}
        offered |= {header.text(Tag.NAME) for header in headers.values()}
        by_path = _owners_of_required(tree, headers)

        def holds(requirement: Requirement) -> bool:
            return requirement.name in offered

        def package(label: str, header: Header) -> Package:
            source = _SOURCE.fullmatch(header.text(Tag.SOURCERPM))
            name, arch = header.text(Tag.NAME), header.text(Tag.ARCH)
            size = header.number(Tag.LONGSIZE)
            provides = [(item, version) for item, _flags, version in relations(header, PROVIDES)]
            return Package(
                name=name,
                version=_version(header),
                arch=arch,
                label=label,
                installed_size=size_of(header.number(Tag.SIZE) if size is None else size),
                section=header.text(Tag.GROUP),
                automatic=automatic(name, arch),
                depends=tuple(requirements(header, REQUIRES, holds)),
                recommends=tuple(requirements(header, RECOMMENDS, holds)),
                provides=(*provides, *((path, "") for path in by_path.get(label, ()))),
                summary=header.text(Tag.SUMMARY),
                license=header.text(Tag.LICENSE),
                source=source["name"] if source else "",
                source_version=source["version"] if source else "",
                vendor=header.text(Tag.VENDOR),
            )

        found = (package(label, header) for label, header in headers.items())
        return tuple(sorted(found, key=lambda item: (item.name, item.arch)))

    def owned(
        self, tree: TreeFiles, packages: Sequence[Package]
    ) -> Iterator[tuple[str, list[str]]]:
        """Yield the label of each package, and its paths."""
        for label, header, room in _chosen(tree, packages):
            yield label, list(paths(header, room))

    def stated(
        self, tree: TreeFiles, packages: Sequence[Package]
    ) -> Iterator[tuple[str, list[StatedFile]]]:
        """Yield the label of each package, and what the database states about its paths."""
        for label, header, room in _chosen(tree, packages):
            yield label, list(stated(header, room))

    def scripts(self, tree: TreeFiles, packages: Sequence[Package]) -> Mapping[str, str]:
        """Read the scriptlets that ran at installation."""
        return {
            f"{kind} script of {label}": text
            for label, header, _room in _chosen(tree, packages)
            for tag, kind in _SCRIPTS.items()
            if (text := header.text(tag))
        }

    def compare(self, a: str, b: str) -> int:
        """Compare two versions as rpm does."""
        return compare_rpm_versions(a, b)

    def meets(self, version: str, requirement: Requirement) -> bool:
        """Tell whether a version is one that is required.

        A name that is provided without a version meets all requirements, and releases only count
        if both sides have one.
        """
        if not version:
            return True
        if ("-" in version) != ("-" in requirement.version):
            version = version.partition("-")[0]
            bare = requirement.version.partition("-")[0]
            requirement = Requirement(requirement.name, requirement.operator, bare)
        return met(compare_rpm_versions, version, requirement)


def _places(tree: TreeFiles) -> dict[str, str]:
    """Return the databases of a tree, by their first path, and where links lead."""
    names = [f"{home}/{name}" for home in _HOMES for name in _FORMATS]
    found = tree.found(names)
    first: dict[str, str] = {}
    for path, real in found.items():
        first.setdefault(real, path)
    return {path: real for real, path in first.items()}


def headers_of(tree: TreeFiles) -> dict[str, Header]:
    """Return the headers of all packages, by their labels.

    Raises:
        InspectError: The database is damaged.
    """
    for path, real in _places(tree).items():
        read = _FORMATS[path.rpartition("/")[2]]
        if path.endswith(_SQLITE):
            log = tree.found([f"{path}-wal"])
            contents = tree.read_many([real, *log.values()])
            logs = b"".join(contents[place] for place in log.values())
            read, data = partial(_sqlite_blobs, log=logs), contents[real]
        else:
            data = tree.read(real)
        headers = [Header(blob, path) for blob in read(data, path)]
        if headers:
            return _labelled(headers, path)
    return {}


def _labelled(headers: Sequence[Header], where: str) -> dict[str, Header]:
    names = [header.text(Tag.NAME) for header in headers]
    if not all(names):
        raise damaged(where, "a package has no name")
    arches = [f"{n}.{h.text(Tag.ARCH)}" for n, h in zip(names, headers, strict=True)]
    full = [f"{n}-{_version(h)}.{h.text(Tag.ARCH)}" for n, h in zip(names, headers, strict=True)]
    labels: dict[str, Header] = {}
    counts = [Counter(choice) for choice in (names, arches, full)]
    for header, *choice in zip(headers, names, arches, full, strict=True):
        label = next(
            (label for label, count in zip(choice, counts, strict=True) if count[label] == 1),
            f"{choice[-1]}#{len(labels)}",
        )
        labels[label] = header
    return labels


def _version(header: Header) -> str:
    epoch = header.number(Tag.EPOCH)
    version = f"{header.text(Tag.VERSION)}-{header.text(Tag.RELEASE)}"
    return version if epoch is None else f"{epoch}:{version}"


def _chosen(
    tree: TreeFiles, packages: Sequence[Package]
) -> Iterator[tuple[str, Header, Allowance]]:
    wanted = {package.label for package in packages}
    room = Allowance(MOST_TEXT, "the database of rpm")
    for label, header in headers_of(tree).items():
        if label in wanted:
            yield label, header, room


def _owners_of_required(tree: TreeFiles, headers: Mapping[str, Header]) -> dict[str, list[str]]:
    """Return those paths of each package that another one requires, as that one names them."""
    required = {
        name
        for header in headers.values()
        for tag in (Tag.REQUIRENAME, Tag.RECOMMENDNAME)
        for name in header.strings(tag)
        if name.startswith("/")
    }
    if not required:
        return {}
    real: dict[str, list[str]] = {}
    for path in required:
        directory, _, name = path.rpartition("/")
        real.setdefault(f"{tree.resolved(directory)}/{name}", []).append(path)
    bases = {path.rpartition("/")[2] for path in required}
    room = Allowance(MOST_TEXT, "the database of rpm")
    found: dict[str, list[str]] = {}
    for label, header in headers.items():
        for path in paths(header, room):
            directory, _, name = path.rpartition("/")
            if name in bases:
                found.setdefault(label, []).extend(
                    real.get(f"{tree.resolved(directory)}/{name}", ())
                )
    return found
