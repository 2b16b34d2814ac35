"""The database of dpkg in ``/var/lib/dpkg``, and the package states that apt records.

Sources of the formats: deb-control(5), dpkg(1) and dpkg-divert(1) of Debian.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from kiwinb.packages.databases.bounds import size_of
from kiwinb.packages.databases.database import (
    Alternatives,
    Package,
    Requirement,
    StatedFile,
    TreeFiles,
    met,
)
from kiwinb.packages.databases.dpkg_status import (
    ADMIN,
    STATUS,
    STATUS_D,
    Record,
    records,
    separate_records,
)
from kiwinb.packages.deb822 import paragraphs
from kiwinb.packages.versions import compare_versions

_DIVERSIONS = f"{ADMIN}/diversions"
EXTENDED_STATES = "/var/lib/apt/extended_states"
"""The file in which apt marks packages that were installed for others."""

_SCRIPTS = ("preinst", "postinst", "config")
_SUMS = "md5sums"
_SUM = re.compile(r"[0-9a-f]{32}  .+")
_CONFFILE = re.compile(
    r"(?P<path>/.+?) (?:(?P<digest>[0-9a-f]{32})|newconffile)(?: remove-on-upgrade)?"
)
_REQUIREMENT = re.compile(
    r"\s*(?P<name>[^\s:(\[]+)(?::\w+)?\s*(?:\(\s*(?P<operator><<|<=|=|>=|>>|<|>)\s*"
    r"(?P<version>[^\s)]+)\s*\))?"
)
_OPERATORS = {"<": "<=", ">": ">="}  # obsolete ones, as dpkg reads them


class Dpkg:
    """The package database of Debian and its derivatives."""

    name = "dpkg"
    revision = 2
    homes = (ADMIN, "/var/lib/apt")
    kept_in = (
        r"/var/lib/dpkg/(status|diversions|(status\.d|updates)/.*"
        r"|info/.*\.(list|preinst|postinst|config))"
        r"|/var/lib/apt/extended_states"
    )
    own_files: Mapping[str, str] = {
        r"/var/lib/dpkg(/.*)?": "database of dpkg",
        r"/var/lib/apt(/.*)?": "state of apt",
        r"/var/cache/apt(/.*)?": "cache of apt",
        r"/var/(lib|cache)/debconf(/.*)?": "answers to debconf",
        r"/var/lib/ucf(/.*)?": "state of ucf",
        r"/etc/dpkg/origins/default": "vendor of the distribution",
        r"/etc/apt/.*": "configuration of apt",
        r"/var/lib/systemd/deb-systemd-(user-)?helper-\w+(/.*)?": "services that packages enabled",
        r"/etc/rc[0-6S]\.d/.*": "made by update-rc.d",
        r"/etc/runit/runsvdir/default/.*": "made by update-service",
        r"/etc/pam\.d/common-.*|/var/lib/pam(/.*)?": "made by pam-auth-update",
    }

    def present(self, tree: TreeFiles) -> bool:
        """Tell whether the tree has the database of dpkg."""
        return any(tree.exists(tree.resolved(path)) for path in (STATUS, STATUS_D))

    def packages(self, tree: TreeFiles) -> tuple[Package, ...]:
        """List the packages that have files in the tree, sorted by name and architecture.

        Raises:
            InspectError: dpkg would refuse the database.
        """
        extended_states = _read(tree, EXTENDED_STATES)
        found = records(tree)
        count = Counter(fields["package"] for fields in found)
        automatic = None if extended_states is None else _automatic(extended_states)
        packages = (_package(fields, count[fields["package"]] > 1, automatic) for fields in found)
        return tuple(sorted(packages, key=lambda package: (package.name, package.arch)))

    def owned(
        self, tree: TreeFiles, packages: Sequence[Package]
    ) -> Iterator[tuple[str, list[str]]]:
        """Yield the label of each package, and its paths after diversions."""
        lists = self._info(tree, packages, ("list",))
        yield from self._listed_by_checksums(tree, {package.label for package, _ in lists})
        diverted = _diverted(tree)
        for (package, _), text in lists.items():
            away = _away(diverted, package)
            paths = ["/" if line == "/." else line for line in text.split("\n") if line]
            yield package.label, [away.get(path, path) for path in paths] if away else paths

    def stated(
        self, tree: TreeFiles, packages: Sequence[Package]
    ) -> Iterator[tuple[str, list[StatedFile]]]:
        """Yield the label of each package, and the MD5 digests of its files.

        dpkg states nothing else, and lists directories and links without saying what they are.
        """
        texts = self._info(tree, packages, (_SUMS,))
        sums = {package.label: _checksums(text) for (package, _), text in texts.items()}
        for path in separate_records(tree):
            name = path.rpartition("/")[2]
            sums.setdefault(name, _checksums(_read(tree, f"{path}.md5sums") or ""))
        away = {package.label: _away(_diverted(tree), package) for package in packages}
        config = _conffiles(records(tree))
        for label, paths in self.owned(tree, packages):
            moved = away.get(label, {})
            digests: dict[str, str | None] = {
                moved.get(path, path): digest for path, digest in sums.get(label, {}).items()
            }
            marked = config.get(label, {})
            digests |= marked
            yield label, [StatedFile(p, digest=digests.get(p), config=p in marked) for p in paths]

    def scripts(self, tree: TreeFiles, packages: Sequence[Package]) -> Mapping[str, str]:
        """Read the maintainer scripts."""
        return {
            f"{kind} script of {package.label}": text
            for (package, kind), text in self._info(tree, packages, _SCRIPTS).items()
        }

    def compare(self, a: str, b: str) -> int:
        """Compare two versions as dpkg does."""
        return compare_versions(a, b)

    def meets(self, version: str, requirement: Requirement) -> bool:
        """Tell whether a version is one that is required."""
        return met(compare_versions, version, requirement)

    def _info(
        self, tree: TreeFiles, packages: Iterable[Package], kinds: Sequence[str]
    ) -> dict[tuple[Package, str], str]:
        """Read files from ``info/``, whose names may contain the architecture."""
        names = {
            f"{ADMIN}/info/{stem}.{kind}": (package, kind)
            for package in packages
            for kind in kinds
            for stem in (package.name, f"{package.name}:{package.arch}")
        }
        texts = _read_many(tree, list(names))
        return {names[path]: text for path, text in texts.items()}

    def _listed_by_checksums(
        self, tree: TreeFiles, listed: Collection[str]
    ) -> Iterator[tuple[str, list[str]]]:
        """Yield the files of packages in ``status.d`` from their lists of checksums."""
        files = separate_records(tree)
        if not files:
            return
        texts = _read_many(tree, [*files, *(f"{path}.md5sums" for path in files)])
        for path in files:
            name = next((fields.get("package", "") for fields in paragraphs(texts[path])), "")
            lines = texts.get(f"{path}.md5sums", "").split("\n")
            if name not in listed:
                yield name, [f"/{line[34:]}" for line in lines if len(line) > 34]


def _package(fields: Record, several: bool, automatic: set[str] | None) -> Package:
    name, arch = fields["package"], fields.get("architecture", "")
    marked = None
    if automatic is not None:
        marked = f"{name}:{arch}" in automatic or (arch == "all" and name in automatic)
    version = fields.get("version", "")
    source, _, source_version = fields.get("source", name).partition(" ")
    return Package(
        name=name,
        version=version,
        arch=arch,
        label=_label(fields, several),
        installed_size=_kibibytes(fields.get("installed-size", "")),
        section=fields.get("section", ""),
        essential=fields.get("essential") == "yes",
        base=fields.get("priority") in ("required", "important"),
        automatic=marked,
        depends=(*_relations(fields, "pre-depends"), *_relations(fields, "depends")),
        recommends=tuple(_relations(fields, "recommends")),
        provides=tuple(
            (item.name, item.version) for group in _relations(fields, "provides") for item in group
        ),
        summary=fields.get("description", "").partition("\n")[0],
        source=source,
        source_version=source_version.strip("()") or version,
        vendor=fields.get("maintainer", ""),
        state=fields["state"],
    )


def _label(fields: Record, several: bool) -> str:
    return f"{fields['package']}:{fields.get('architecture', '')}" if several else fields["package"]


def _kibibytes(number: str) -> int | None:
    size = size_of(number)
    return None if size is None else 1024 * size


def _relations(fields: Record, name: str) -> Iterator[Alternatives]:
    for group in fields.get(name, "").split(","):
        matches = (_REQUIREMENT.match(item) for item in group.split("|"))
        found = tuple(
            Requirement(
                match["name"],
                _OPERATORS.get(match["operator"] or "", match["operator"] or ""),
                match["version"] or "",
            )
            for match in matches
            if match
        )
        if found:
            yield found


def _automatic(extended_states: str) -> set[str]:
    """Return the packages that apt marks as automatic, with and without architecture."""
    marked = [
        fields
        for fields in paragraphs(extended_states)
        if fields.get("auto-installed") == "1" and "package" in fields
    ]
    names = {f"{fields['package']}:{fields.get('architecture', '')}" for fields in marked}
    return names | {fields["package"] for fields in marked}


def _diverted(tree: TreeFiles) -> dict[str, tuple[str, str]]:
    return _diversions(_read(tree, _DIVERSIONS) or "")


def _away(diverted: Mapping[str, tuple[str, str]], package: Package) -> dict[str, str]:
    """Return the new path of each path of a package that is diverted."""
    return {source: target for source, (target, by) in diverted.items() if by != package.name}


def _checksums(text: str) -> dict[str, str]:
    """Return the digest of each path in a list of checksums."""
    return {
        f"/{line[34:]}": f"md5:{line[:32]}" for line in text.split("\n") if _SUM.fullmatch(line)
    }


def _conffiles(found: Sequence[Record]) -> dict[str, dict[str, str | None]]:
    """Return the digests of the configuration files of each package, by its label."""
    count = Counter(fields["package"] for fields in found)
    return {
        _label(fields, count[fields["package"]] > 1): {
            match["path"]: f"md5:{match['digest']}" if match["digest"] else None
            for line in fields.get("conffiles", "").split("\n")
            if (match := _CONFFILE.fullmatch(line.strip()))
        }
        for fields in found
    }


def _diversions(text: str) -> dict[str, tuple[str, str]]:
    """Return the new path of each diverted path, and the package not affected (``:`` for none)."""
    lines = text.split("\n")
    return {
        source: (target, by)
        for source, target, by in zip(lines[::3], lines[1::3], lines[2::3], strict=False)
    }


def _read(tree: TreeFiles, path: str) -> str | None:
    """Read a file that may be a symbolic link; ``None`` if there is no such file."""
    return _read_many(tree, [path]).get(path)


def _read_many(tree: TreeFiles, paths: Sequence[str]) -> dict[str, str]:
    """Read those files that are there."""
    found = tree.found(paths)
    contents = tree.read_many(list(found.values())) if found else {}
    return {path: contents[real].decode("utf-8", "surrogateescape") for path, real in found.items()}
