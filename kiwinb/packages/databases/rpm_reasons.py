"""Read which packages of rpm were installed because others need them.

The database of rpm does not say. zypper lists them in a file, dnf keeps a history, and dnf5 a
table.

Sources of the formats: the documentation of libzypp and dnf5, and what these programs write.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping

from kiwinb.packages.databases.bounds import damaged
from kiwinb.packages.databases.database import TreeFiles
from kiwinb.packages.databases.sqlite import read_table

ZYPPER = "/var/lib/zypp/AutoInstalled"
"""The file of zypper."""

DNF5 = "/usr/lib/sysimage/libdnf5/packages.toml"
"""The file of dnf5."""

DNF = "/var/lib/dnf/history.sqlite"
"""The file of dnf."""

DNF5_GROUPS = "/usr/lib/sysimage/libdnf5/groups.toml"
"""The file of dnf5 with the packages of groups that are installed."""

_FOR_OTHERS = ("Dependency", "Weak Dependency")
_FOR_OTHERS_NUMBERS = (1, 4)
_UNKNOWN = 0

IsAutomatic = Callable[[str, str], bool | None]
"""Tell by name and architecture whether a package was installed for another one."""


def reasons(tree: TreeFiles) -> IsAutomatic:
    """Return what tells whether a package was installed for another one.

    Raises:
        InspectError: A file is damaged.
    """
    log = f"{DNF}-wal"
    found = tree.found([DNF5, DNF5_GROUPS, DNF, log, ZYPPER])
    read = tree.read_many(list(found.values())) if found else {}
    contents = {path: read[real] for path, real in found.items()}
    if DNF5 in contents:
        return _by_dnf5(contents[DNF5], contents.get(DNF5_GROUPS, b""))
    if contents.get(DNF):
        return _known(_by_dnf(contents[DNF], contents.get(log, b"")))
    if ZYPPER in contents:
        lines = contents[ZYPPER].decode("utf-8", "surrogateescape").split("\n")
        names = {line.strip() for line in lines if not line.startswith("#")}
        return lambda name, _arch: name in names
    return lambda _name, _arch: None


def _known(by_name: Mapping[tuple[str, str], bool]) -> IsAutomatic:
    return lambda name, arch: by_name.get((name, arch))


def _by_dnf5(content: bytes, groups: bytes) -> IsAutomatic:
    found = {}
    for label, facts in _tables(DNF5, content, "packages"):
        name, _, arch = label.rpartition(".")
        reason = facts.get("reason")
        if isinstance(reason, str) and reason:
            found[name, arch] = reason in _FOR_OTHERS
    grouped = set()
    for _label, facts in _tables(DNF5_GROUPS, groups, "groups"):
        names = facts.get("packages")
        grouped |= {str(name) for name in names} if isinstance(names, list) else set()
    return lambda name, arch: False if name in grouped else found.get((name, arch))


def _tables(file: str, content: bytes, kind: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The tables of a kind in a file of dnf5, with their labels."""
    try:
        tables = tomllib.loads(content.decode("utf-8")).get(kind)
    except (ValueError, RecursionError) as error:
        raise damaged(file, f"it is no TOML: {error}") from error
    for label, facts in tables.items() if isinstance(tables, dict) else ():
        if isinstance(facts, dict):
            yield label, facts


def _by_dnf(content: bytes, log: bytes) -> dict[tuple[str, str], bool]:
    packages = {
        item: (name, arch)
        for item, name, arch in read_table(content, log, "rpm", ("item_id", "name", "arch"), DNF)
    }
    found = {}
    for item, reason in read_table(content, log, "trans_item", ("item_id", "reason"), DNF):
        if item in packages and reason != _UNKNOWN:  # the last one counts
            found[packages[item]] = reason in _FOR_OTHERS_NUMBERS
    return found
