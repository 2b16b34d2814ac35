"""Read the records of packages in dpkg's database: ``status``, its journal, and ``status.d``.

dpkg writes each change to a file of its own in ``updates``, and now and then all of them to
``status``. Images that no package manager made have a file for each package in ``status.d``.

Sources of the formats: dpkg(1), dpkg-query(1), deb822(5), and what dpkg accepts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from kiwinb.errors import InspectError
from kiwinb.packages.databases.database import INSTALLED, TreeFiles

ADMIN = "/var/lib/dpkg"
STATUS = f"{ADMIN}/status"
"""The file that describes all packages."""

STATUS_D = f"{ADMIN}/status.d"
UPDATES = f"{ADMIN}/updates"

_ABSENT = "not-installed"
_WITHOUT_FILES = (_ABSENT, "config-files")
_WITHOUT_VERSION = (_ABSENT, "half-installed")
_WANTED = ("unknown", "install", "hold", "deinstall", "purge")
_FLAGS = ("ok", "reinstreq")
_STATES = (
    *_WITHOUT_FILES,
    "half-installed",
    "unpacked",
    "half-configured",
    "triggers-awaited",
    "triggers-pending",
    INSTALLED,
)
_SUMS = (".md5sums", ".sha256sums")

Record = Mapping[str, str]
"""Fields of a package, by name in lower case."""

_Instances = dict[tuple[str, str], dict[str, str]]


def records(tree: TreeFiles) -> list[Record]:
    """Return the records of all packages that have files in the tree.

    The field ``state`` is added: the last word of ``status``, and ``installed`` for the files in
    ``status.d``, which have no such field. If a package has a record in ``status`` and one in
    ``status.d``, that in ``status`` counts.

    Raises:
        InspectError: dpkg would refuse the database.
    """
    found: _Instances = {}
    listed = tree.found([STATUS])
    journal = tree.found(_journal(tree))
    separate = tree.found(_separate(tree))
    texts = tree.read_many([*listed.values(), *journal.values(), *separate.values()])

    def text_of(real: str) -> str:
        return texts[real].decode("utf-8", "surrogateescape")

    for path, real in listed.items():
        for where, fields in _checked(text_of(real), path):
            _add(found, fields, where)
    for path, real in journal.items():
        for _where, fields in _checked(text_of(real), path):
            _replace(found, fields)
    for path, real in separate.items():
        for where, fields in _fields(text_of(real), path):
            if "package" not in fields:
                raise _refused(where, "there is no field Package")
            fields["state"] = INSTALLED
            found.setdefault(_instance(fields), fields)
    return [fields for fields in found.values() if fields["state"] not in _WITHOUT_FILES]


def separate_records(tree: TreeFiles) -> Mapping[str, str]:
    """Return the files in ``status.d`` that hold a record, by path, and where links lead."""
    return tree.found(_separate(tree))


def _separate(tree: TreeFiles) -> list[str]:
    below = tree.below(tree.resolved(STATUS_D))
    names = (path.rpartition("/")[2] for path in below if not path.endswith(_SUMS))
    return [f"{STATUS_D}/{name}" for name in names]


def _journal(tree: TreeFiles) -> list[str]:
    """Return the files of the journal in the order in which they were written."""
    names = [path.rpartition("/")[2] for path in tree.below(tree.resolved(UPDATES))]
    numbers = [name for name in names if re.fullmatch("[0-9]+", name)]
    if len({len(name) for name in numbers}) > 1:
        raise _refused(UPDATES, "the numbers of the files have different lengths")
    return [f"{UPDATES}/{name}" for name in sorted(numbers)]


def _instance(fields: Record) -> tuple[str, str]:
    return fields["package"], fields.get("architecture", "")


def _instances(found: _Instances, name: str) -> list[dict[str, str]]:
    return [
        fields for (other, _arch), fields in found.items() if other == name and _present(fields)
    ]


def _present(fields: Record) -> bool:
    return fields["state"] != _ABSENT


def _same(fields: Record) -> bool:
    return fields.get("multi-arch") == "same"


def _add(found: _Instances, fields: dict[str, str], where: str) -> None:
    """Add a record of ``status``; only packages made for it can be there several times."""
    others = _instances(found, fields["package"]) if _present(fields) else []
    if others and not all(_same(item) for item in (*others, fields)):
        raise _refused(where, f"there is another record of {fields['package']}")
    found[_instance(fields)] = fields


def _replace(found: _Instances, fields: dict[str, str]) -> None:
    """Put a record of the journal in the place of the record that it updates."""
    others = _instances(found, fields["package"])
    if len(others) == 1 and not (_same(others[0]) and _same(fields)):
        del found[_instance(others[0])]
    found[_instance(fields)] = fields


def _checked(text: str, path: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the records of a file that dpkg wrote, each with its place, and check them."""
    if text and not text.endswith("\n"):
        raise _refused(f"{path}:{text.count(chr(10)) + 1}", "the file ends within a line")
    for where, fields in _fields(text, path):
        if not fields.get("package"):
            raise _refused(where, "there is no field Package")
        fields["package"] = fields["package"].lower()
        words = fields.get("status", f"unknown ok {_ABSENT}").lower().split()
        known = (_WANTED, _FLAGS, _STATES)
        if len(words) != 3 or any(w not in k for w, k in zip(words, known, strict=True)):
            raise _refused(where, f"dpkg knows no status {fields['status']!r}")
        fields["state"] = words[2]
        version = fields.get("version", "" if words[2] in _WITHOUT_VERSION else None)
        if version is None or " " in version or (not version and "version" in fields):
            raise _refused(where, f"{fields['package']} has no valid version")
        yield where, fields


def _fields(text: str, path: str) -> Iterator[tuple[str, dict[str, str]]]:
    fields: dict[str, str] = {}
    name = ""
    begun = 1
    for number, line in enumerate((*text.split("\n"), ""), 1):
        if not line:
            if fields:
                yield f"{path}:{begun}", fields
            fields, name, begun = {}, "", number + 1
        elif line[0].isspace():
            if not name:
                raise _refused(f"{path}:{number}", "a value has no field")
            fields[name] += "\n" + line.strip()
        else:
            field, colon, value = line.partition(":")
            name = field.strip().lower()
            if not colon or not name or " " in name or name in fields:
                raise _refused(f"{path}:{number}", f"not a field: {line[:60]!r}")
            fields[name] = value.strip()


def _refused(where: str, problem: str) -> InspectError:
    return InspectError(
        f"{where}: {problem}",
        remedy="dpkg cannot read this database either; repair it, or make the tree again.",
    )
