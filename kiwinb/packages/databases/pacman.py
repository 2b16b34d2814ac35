"""The local database of pacman: a directory for each package in ``/var/lib/pacman/local``.

Sources of the formats: PKGBUILD(5), and what pacman writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from kiwinb.packages.alpm_versions import compare_alpm_versions
from kiwinb.packages.databases.bounds import damaged, size_of
from kiwinb.packages.databases.database import Package, Requirement, StatedFile, TreeFiles, met
from kiwinb.packages.databases.pacman_mtree import stated

LOCAL = "/var/lib/pacman/local"
"""Directory of the database in a tree."""

_VERSION = "ALPM_DB_VERSION"
_FORMAT = "9"
_DESC, _FILES, _MTREE, _INSTALL = "desc", "files", "mtree", "install"
_AUTOMATIC = "1"
_REQUIREMENT = re.compile(r"(?P<name>[^<>=]+)(?P<operator><=|>=|=|<|>)?(?P<version>.*)")
_OPERATORS = {"<": "<<", ">": ">>"}

Sections = Mapping[str, Sequence[str]]
"""Lines of a file of the database, by the name of their section."""


class Pacman:
    """The package database of Arch Linux and its derivatives."""

    name = "pacman"
    revision = 1
    homes = ("/var/lib/pacman",)
    kept_in = rf"{LOCAL}/({_VERSION}|[^/]+/({_DESC}|{_FILES}))"
    own_files: Mapping[str, str] = {
        r"/var/lib/pacman(/.*)?": "database of pacman",
        r"/var/cache/pacman(/.*)?": "cache of pacman",
        r"/etc/pacman\.d/gnupg(/.*)?": "keys of packages",
        r"/etc/pacman\.(conf|d(/.*)?)": "configuration of pacman",
    }

    def present(self, tree: TreeFiles) -> bool:
        """Tell whether the tree has a local database of pacman."""
        return tree.exists(tree.resolved(LOCAL))

    def packages(self, tree: TreeFiles) -> tuple[Package, ...]:
        """List the packages, sorted by name.

        Raises:
            InspectError: The database is damaged.
        """
        names = _names(tree)
        texts = _texts(tree, [f"{LOCAL}/{name}/{_DESC}" for name in names])
        found = []
        for name in names:
            path = f"{LOCAL}/{name}/{_DESC}"
            if path not in texts:
                raise damaged(path, "there is no such file")
            package = _package(sections_of(texts[path], path), name)
            if name != f"{package.name}-{package.version}":
                raise damaged(path, f"it describes {package.name} {package.version}")
            found.append(package)
        if len({package.name for package in found}) < len(found):
            raise damaged(LOCAL, "a package is there in several versions")
        return tuple(sorted(found, key=lambda package: package.name))

    def owned(
        self, tree: TreeFiles, packages: Sequence[Package]
    ) -> Iterator[tuple[str, list[str]]]:
        """Yield the label of each package, and its paths."""
        for package, sections, _path in _lists(tree, packages):
            yield package.label, [_absolute(line) for line in sections.get("FILES", ())]

    def stated(
        self, tree: TreeFiles, packages: Sequence[Package]
    ) -> Iterator[tuple[str, list[StatedFile]]]:
        """Yield the label of each package, and what its mtree file states about its paths."""
        places = {package: f"{_place(package)}/{_MTREE}" for package in packages}
        lists = {package.label: sections for package, sections, _path in _lists(tree, packages)}
        found = tree.found(list(places.values()))
        for package, path in places.items():
            backup = lists.get(package.label, {}).get("BACKUP", ())
            config = {_absolute(line.partition("\t")[0]) for line in backup}
            if path in found:
                yield package.label, list(stated(tree.read(found[path]), path, config))

    def scripts(self, tree: TreeFiles, packages: Sequence[Package]) -> Mapping[str, str]:
        """Read the files with the functions that run at installation."""
        places = {f"{_place(package)}/{_INSTALL}": package for package in packages}
        return {
            f"install script of {places[path].label}": text
            for path, text in _texts(tree, list(places)).items()
        }

    def compare(self, a: str, b: str) -> int:
        """Compare two versions as pacman does."""
        return compare_alpm_versions(a, b)

    def meets(self, version: str, requirement: Requirement) -> bool:
        """Tell whether a version is one that is required."""
        return met(compare_alpm_versions, version, requirement)


def _names(tree: TreeFiles) -> list[str]:
    top = tree.resolved(LOCAL)
    names = {path[len(top) + 1 :].partition("/")[0] for path in tree.below(top)}
    version = _texts(tree, [f"{LOCAL}/{_VERSION}"]).get(f"{LOCAL}/{_VERSION}", _FORMAT).strip()
    if version != _FORMAT:
        raise damaged(f"{LOCAL}/{_VERSION}", f"the version {version[:20]!r} is unknown")
    return sorted(names - {_VERSION})


def local_sections(tree: TreeFiles) -> Iterator[Sections]:
    """Yield all that the database of a tree says of each package, but for its files.

    Raises:
        InspectError: The database is damaged.
    """
    packages = Pacman().packages(tree)
    for path, text in _texts(tree, [f"{_place(item)}/{_DESC}" for item in packages]).items():
        yield sections_of(text, path)


def _place(package: Package) -> str:
    return f"{LOCAL}/{package.name}-{package.version}"


def _lists(tree: TreeFiles, packages: Sequence[Package]) -> Iterator[tuple[Package, Sections, str]]:
    places = {package: f"{_place(package)}/{_FILES}" for package in packages}
    texts = _texts(tree, list(places.values()))
    for package, path in places.items():
        yield package, sections_of(texts.get(path, ""), path), path


def _absolute(path: str) -> str:
    return f"/{path}".rstrip("/")


def sections_of(text: str, path: str) -> Sections:
    """Split a file: ``%NAME%``, the lines of the section, and an empty line.

    Raises:
        InspectError: It is damaged.
    """
    found: dict[str, list[str]] = {}
    lines: list[str] | None = None
    for number, line in enumerate(text.split("\n"), 1):
        if not line:
            lines = None
        elif lines is not None:
            lines.append(line)
        elif re.fullmatch("%[A-Z0-9]+%", line):
            lines = found.setdefault(line.strip("%"), [])
        else:
            raise damaged(f"{path}:{number}", f"not a section: {line[:60]!r}")
    return found


def _package(sections: Sections, directory: str) -> Package:
    parts = directory.rsplit("-", 2)
    if len(parts) != 3 or not parts[0]:
        raise damaged(f"{LOCAL}/{directory}", "not a package: its name has no version")
    stem, known = parts[0], "-".join(parts[1:])

    def one(name: str) -> str:
        return next(iter(sections.get(name, ())), "")

    base = one("BASE")
    requirements = [requirement_of(text) for text in sections.get("DEPENDS", ())]
    provides = [requirement_of(text) for text in sections.get("PROVIDES", ())]
    name, version = one("NAME") or stem, one("VERSION") or known
    return Package(
        name=name,
        version=version,
        arch=one("ARCH"),
        label=name,
        installed_size=size_of(one("SIZE")),
        section=" ".join(sections.get("GROUPS", ())),
        automatic=one("REASON") == _AUTOMATIC,
        depends=tuple((item,) for item in requirements),
        provides=tuple((item.name, item.version) for item in provides),
        summary=one("DESC"),
        license=" ".join(sections.get("LICENSE", ())),
        source=base,
        source_version=version if base else "",
        vendor=one("PACKAGER"),
    )


def requirement_of(text: str) -> Requirement:
    """Read a relation such as ``name>=1.0``, as in ``%DEPENDS%`` and ``%CONFLICTS%``."""
    match = _REQUIREMENT.match(text)
    if match is None:
        return Requirement(text)
    operator = match["operator"] or ""
    return Requirement(match["name"], _OPERATORS.get(operator, operator), match["version"])


def _texts(tree: TreeFiles, paths: Sequence[str]) -> dict[str, str]:
    found = tree.found(paths)
    contents = tree.read_many(list(found.values())) if found else {}
    return {path: contents[real].decode("utf-8", "surrogateescape") for path, real in found.items()}
