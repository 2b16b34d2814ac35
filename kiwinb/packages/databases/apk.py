"""The database of apk, the package manager of Alpine Linux: the text file ``installed``.

apk 3 reads and writes the same file, also where its packages have another format.

Sources of the formats: apk(8), apk-package(5) and apk-world(5), and what apk accepts.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kiwinb.packages.apk_versions import begins_with, compare_apk_versions
from kiwinb.packages.databases.bounds import MOST_TEXT, PATH_COST, Allowance, damaged, size_of
from kiwinb.packages.databases.database import (
    INSTALLED,
    Package,
    Requirement,
    StatedFile,
    TreeFiles,
    met,
)

_HOMES = ("/lib/apk/db", "/usr/lib/apk/db")
_INSTALLED = tuple(f"{home}/installed" for home in _HOMES)
_SCRIPTS = ("scripts.tar", "scripts.tar.gz")
_WORLD = "/etc/apk/world"
_AT_INSTALLATION = ("pre-install", "post-install")
_REQUIREMENT = re.compile(
    r"(?P<name>[^<>=~@!]+)(?:@[^<>=~]+)?(?:(?P<operator>[<>=~]+)(?P<version>.+))?"
)
_OPERATORS = {"<": "<<", ">": ">>", "=~": "~", "~=": "~"}
_FUZZY = {"~": (), "<~": ("<<",), "~<": ("<<",), ">~": (">>",), "~>": (">>",)}
_BROKEN = "fsx"  # files, scripts, extended attributes
_ACL = re.compile(r"(?P<uid>[0-9]+):(?P<gid>[0-9]+):(?P<mode>[0-7]{1,5})(?::.*)?")
_DIRECTORY_MODE, _FILE_MODE = 0o755, 0o644
_CUT = "S"  # digests are the first 20 bytes of SHA-256
_DIGESTS = {"Q1": ("sha1", 20), "Q2": ("sha256", 32)}
_DIGEST_CUT = ("sha256-160", 20)


@dataclass
class _Record:
    """The lines of a package.

    Attributes:
        fields: Values by letter; the last one counts.
        files: What is stated about each path.
    """

    fields: dict[str, str] = field(default_factory=dict)
    files: list[StatedFile] = field(default_factory=list)


class Apk:
    """The package database of Alpine Linux and its derivatives."""

    name = "apk"
    revision = 1
    homes = ("/lib/apk", "/usr/lib/apk")
    kept_in = rf"({'|'.join(_INSTALLED)})|{_WORLD}"
    own_files: Mapping[str, str] = {
        r"(/usr)?/lib/apk(/.*)?": "database of apk",
        r"/var/(cache|lib)/apk(/.*)?|/etc/apk/cache": "cache of apk",
        r"/etc/apk(/.*)?": "configuration of apk",
    }

    def present(self, tree: TreeFiles) -> bool:
        """Tell whether the tree has a database of apk."""
        return bool(tree.found(_INSTALLED))

    def packages(self, tree: TreeFiles) -> tuple[Package, ...]:
        """List the packages, sorted by name.

        Raises:
            InspectError: The database is damaged.
        """
        world = _world(tree)
        found = [_package(record.fields) for record in _records(tree)]
        names = {package.name for package in found}
        marked = (_marked(package, world, names) for package in found)
        return tuple(sorted(marked, key=lambda package: package.name))

    def owned(
        self, tree: TreeFiles, packages: Sequence[Package]
    ) -> Iterator[tuple[str, list[str]]]:
        """Yield the label of each package, and its paths."""
        for label, files in self.stated(tree, packages):
            yield label, [file.path for file in files]

    def stated(
        self, tree: TreeFiles, packages: Sequence[Package]
    ) -> Iterator[tuple[str, list[StatedFile]]]:
        """Yield the label of each package, and what the database states about its paths."""
        wanted = {package.label for package in packages}
        for record in _records(tree):
            if record.fields["P"] in wanted:
                yield record.fields["P"], record.files

    def scripts(self, tree: TreeFiles, packages: Sequence[Package]) -> Mapping[str, str]:
        """Read the scripts that ran at installation, which are all in one archive."""
        names = {f"{package.name}-{package.version}": package.label for package in packages}
        found = tree.found([f"{home}/{name}" for home in _HOMES for name in _SCRIPTS])
        scripts = {}
        for path, real in found.items():
            for name, text in _archived(tree.read(real), path):
                stem, _, kind = name.rpartition(".")
                label = names.get(stem.rpartition(".")[0])
                if label and kind in _AT_INSTALLATION:
                    scripts[f"{kind} script of {label}"] = text
        return scripts

    def compare(self, a: str, b: str) -> int:
        """Compare two versions as apk does."""
        return compare_apk_versions(a, b)

    def meets(self, version: str, requirement: Requirement) -> bool:
        """Tell whether a version is one that is required; ``~`` asks for its beginning.

        A name that is provided without a version meets all requirements.
        """
        if not version:
            return True
        others = _FUZZY.get(requirement.operator)
        if others is None:
            return met(compare_apk_versions, version, requirement)
        plain = (Requirement(requirement.name, other, requirement.version) for other in others)
        return begins_with(version, requirement.version) or any(
            met(compare_apk_versions, version, item) for item in plain
        )


def _package(fields: Mapping[str, str]) -> Package:
    name, version = fields["P"], fields["V"]
    origin = fields.get("o", "")
    requirements = (_requirement(word) for word in fields.get("D", "").split())
    provided = (_requirement(word) for word in fields.get("p", "").split())
    broken = any(letter in _BROKEN for letter in fields.get("f", ""))
    return Package(
        name=name,
        version=version,
        arch=fields.get("A", ""),
        label=name,
        installed_size=size_of(fields.get("I")),
        depends=tuple((item,) for item in requirements if item is not None),
        provides=tuple((item.name, item.version) for item in provided if item is not None),
        summary=fields.get("T", ""),
        license=fields.get("L", ""),
        source=origin,
        source_version=version if origin else "",
        vendor=fields.get("m", ""),
        state="broken" if broken else INSTALLED,
    )


def _requirement(text: str) -> Requirement | None:
    """Read a requirement; ``None`` if it asks for the absence of a package."""
    match = _REQUIREMENT.fullmatch(text)
    if match is None:
        return None
    operator = match["operator"] or ""
    operator = _OPERATORS.get(operator, operator)
    if operator and operator not in ("<<", "<=", "=", ">=", ">>", *_FUZZY):
        return Requirement(match["name"])  # "><" asks for one certain file
    return Requirement(match["name"], operator, match["version"] or "")


def _world(tree: TreeFiles) -> set[str] | None:
    """Return the names of the packages that were asked for; ``None`` if that is not known."""
    found = tree.found([_WORLD])
    if not found:
        return None
    text = tree.read(found[_WORLD]).decode("utf-8", "surrogateescape")
    wanted = (_requirement(word) for word in text.split())
    return {item.name for item in wanted if item is not None}


def _marked(package: Package, world: set[str] | None, names: set[str]) -> Package:
    if world is None:
        return package
    provided = {name for name, _version in package.provides} - names
    return replace(package, automatic=package.name not in world and not provided & world)


def _records(tree: TreeFiles) -> list[_Record]:
    found = tree.found(_INSTALLED)
    first: dict[str, str] = {}
    for path, real in found.items():
        first.setdefault(real, path)
    contents = tree.read_many(list(first))
    records = [
        record
        for real, path in first.items()
        for record in _read(contents[real].decode("utf-8", "surrogateescape"), path)
    ]
    names = [record.fields["P"] for record in records]
    if len(set(names)) < len(names):
        raise damaged(next(iter(found)), "a package is there twice")
    return records


def _read(text: str, path: str) -> Iterator[_Record]:
    room = Allowance(MOST_TEXT, path)
    if text and not text.endswith("\n"):
        raise damaged(f"{path}:{text.count(chr(10)) + 1}", "the file ends within a line")
    record, directory = _Record(), None
    for number, line in enumerate((*text.split("\n"), ""), 1):
        where = f"{path}:{number}"
        if len(line) < 2:
            if record.fields or record.files:
                if not record.fields.get("P") or not record.fields.get("V"):
                    raise damaged(where, "a package has no name or version")
                yield record
            record, directory = _Record(), None
            continue
        if line[1] != ":":
            raise damaged(where, f"not a field: {line[:60]!r}")
        letter, value = line[0], line[2:]
        if letter == "F":
            directory = f"/{value}" if value else ""
            room.take(len(directory) + PATH_COST)
            record.files.append(StatedFile(directory or "/", "directory", mode=_DIRECTORY_MODE))
        elif letter in "RMaZ":
            if directory is None:
                raise damaged(where, "a file is in no directory")
            room.take(len(directory) + len(value) + PATH_COST)
            _add(record, letter, value, directory, where)
        else:
            record.fields[letter] = value


def _add(record: _Record, letter: str, value: str, directory: str, where: str) -> None:
    """Add a file, or what a line says of the last one."""
    files = record.files
    last = files[-1]
    if letter == "R":
        path = f"{directory}/{value}"
        config = path.startswith("/etc/") and not path.startswith("/etc/init.d/")
        files.append(StatedFile(path, mode=_FILE_MODE, config=config))
    elif (last.kind == "directory") == (letter != "M"):
        raise damaged(where, f"not a field of a {last.kind or 'file'}: {letter}")
    elif letter == "Z":
        files[-1] = replace(last, digest=_digest(value, _CUT in record.fields.get("f", ""), where))
    else:
        match = _ACL.fullmatch(value)
        if match is None:
            raise damaged(where, f"no owner and mode: {value[:60]!r}")
        files[-1] = replace(last, mode=int(match["mode"], 8) & 0o7777)


def _digest(value: str, cut: bool, where: str) -> str | None:
    algorithm, size = _DIGESTS.get(value[:2], ("", 0))
    if cut and algorithm == "sha1":
        algorithm, size = _DIGEST_CUT
    try:
        raw = base64.b64decode(value[2:], validate=True)
    except (binascii.Error, ValueError) as error:
        raise damaged(where, f"no digest: {value[:60]!r}") from error
    return f"{algorithm}:{raw.hex()}" if algorithm and len(raw) == size else None


def _archived(content: bytes, path: str) -> Iterator[tuple[str, str]]:
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            room = Allowance(MOST_TEXT, path)
            for member in archive:
                room.take(tarfile.BLOCKSIZE + member.size)
                if file := archive.extractfile(member):
                    yield member.name, file.read().decode("utf-8", "surrogateescape")
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise damaged(path, f"it is no archive: {error}") from error
