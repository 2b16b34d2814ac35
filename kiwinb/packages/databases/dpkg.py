"""The database of dpkg in ``/var/lib/dpkg``, and the package states that apt records.

Images without a package manager keep the same data in ``status.d``.

Sources of the formats: deb-control(5), dpkg(1) and dpkg-divert(1) of Debian.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from kiwinb.packages.databases.database import Alternatives, Package, Requirement, TreeFiles
from kiwinb.packages.deb822 import paragraphs
from kiwinb.packages.versions import compare_versions

_ADMIN = "/var/lib/dpkg"
STATUS = f"{_ADMIN}/status"
"""The file that describes all packages."""

_STATUS_D = f"{_ADMIN}/status.d"
_DIVERSIONS = f"{_ADMIN}/diversions"
_SUMS = (".md5sums", ".sha256sums")
_EXTENDED_STATES = "/var/lib/apt/extended_states"
_SCRIPTS = ("preinst", "postinst", "config")
_REQUIREMENT = re.compile(
    r"\s*(?P<name>[^\s:(\[]+)(?::\w+)?\s*(?:\(\s*(?P<operator><<|<=|=|>=|>>|<|>)\s*"
    r"(?P<version>[^\s)]+)\s*\))?"
)
_OPERATORS = {"<": "<=", ">": ">="}  # obsolete ones, as dpkg reads them


class Dpkg:
    """The package database of Debian and its derivatives."""

    name = "dpkg"
    revision = 1
    home = r"/var/lib/(?:dpkg|apt)(?:/.*)?"
    kept_in = (
        r"/var/lib/dpkg/(status|diversions|status\.d/.*|info/.*\.(list|preinst|postinst|config))"
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
        return tree.exists(STATUS) or tree.exists(_STATUS_D)

    def packages(self, tree: TreeFiles) -> tuple[Package, ...]:
        """List the installed packages, sorted by name and architecture."""
        wanted = (*self._status_files(tree), _EXTENDED_STATES)
        texts = _read_many(tree, [path for path in wanted if tree.exists(path)])
        extended_states = texts.pop(_EXTENDED_STATES, None)
        found = [
            fields
            for text in texts.values()
            for fields in paragraphs(text)
            if fields.get("status", "installed").split()[-1:] == ["installed"]
        ]
        count = Counter(fields["package"] for fields in found)
        automatic = None if extended_states is None else _automatic(extended_states)
        packages = (_package(fields, count[fields["package"]] > 1, automatic) for fields in found)
        return tuple(sorted(packages, key=lambda package: (package.name, package.arch)))

    def owned(
        self, tree: TreeFiles, packages: Sequence[Package]
    ) -> Iterator[tuple[str, list[str]]]:
        """Yield the label of each package, and its paths after diversions."""
        lists = self._info(tree, packages, ("list",))
        if not lists:
            yield from self._listed_by_checksums(tree)
            return
        noted = _text(tree.read(_DIVERSIONS)) if tree.exists(_DIVERSIONS) else ""
        diverted = _diversions(noted)
        for (package, _), text in lists.items():
            away = {
                source: target for source, (target, by) in diverted.items() if by != package.name
            }
            paths = ["/" if line == "/." else line for line in text.split("\n") if line]
            yield package.label, [away.get(path, path) for path in paths] if away else paths

    def scripts(self, tree: TreeFiles, packages: Sequence[Package]) -> Mapping[str, str]:
        """Read the maintainer scripts."""
        return {
            f"{kind} script of {package.label}": text
            for (package, kind), text in self._info(tree, packages, _SCRIPTS).items()
        }

    def compare(self, a: str, b: str) -> int:
        """Compare two versions as dpkg does."""
        return compare_versions(a, b)

    def _status_files(self, tree: TreeFiles) -> tuple[str, ...]:
        if tree.exists(STATUS):
            return (STATUS,)
        return tuple(path for path in tree.below(_STATUS_D) if not path.endswith(_SUMS))

    def _info(
        self, tree: TreeFiles, packages: Iterable[Package], kinds: Sequence[str]
    ) -> dict[tuple[Package, str], str]:
        """Read files from ``info/``, whose names may contain the architecture."""
        paths = {}
        for package in packages:
            for kind in kinds:
                for stem in (package.name, f"{package.name}:{package.arch}"):
                    path = f"{_ADMIN}/info/{stem}.{kind}"
                    if tree.exists(path):
                        paths[package, kind] = path
        texts = _read_many(tree, list(paths.values()))
        return {found: texts[path] for found, path in paths.items()}

    def _listed_by_checksums(self, tree: TreeFiles) -> Iterator[tuple[str, list[str]]]:
        """Yield the files of packages in ``status.d`` from their lists of checksums."""
        if not tree.exists(_STATUS_D):
            return
        for path, text in _read_many(tree, self._status_files(tree)).items():
            name = next((fields.get("package", "") for fields in paragraphs(text)), "")
            sums = f"{path}.md5sums"
            lines = _text(tree.read(sums)).splitlines() if tree.exists(sums) else []
            yield name, [f"/{line[34:]}" for line in lines if len(line) > 34]


def _package(fields: Mapping[str, str], several: bool, automatic: set[str] | None) -> Package:
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
        label=f"{name}:{arch}" if several else name,
        installed_size=1024 * int(fields.get("installed-size") or 0),
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
    )


def _relations(fields: Mapping[str, str], name: str) -> Iterator[Alternatives]:
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


def _diversions(text: str) -> dict[str, tuple[str, str]]:
    """Return the new path of each diverted path, and the package not affected (``:`` for none)."""
    lines = text.splitlines()
    return {
        source: (target, by)
        for source, target, by in zip(lines[::3], lines[1::3], lines[2::3], strict=False)
    }


def _read_many(tree: TreeFiles, paths: Sequence[str]) -> dict[str, str]:
    return {path: _text(data) for path, data in tree.read_many(paths).items()}


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
