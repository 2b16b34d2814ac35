"""Read which packages of rpm were installed because others need them.

The database of rpm does not say. zypper lists them in a file, dnf keeps a history, and dnf5 a
table.

Sources of the formats: the documentation of libzypp and dnf5, and what these programs write.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping

from kiwinb.packages.databases.bounds import damaged
from kiwinb.packages.databases.database import TreeFiles
from kiwinb.packages.databases.sqlite import read_table

ZYPPER = "/var/lib/zypp/AutoInstalled"
"""The file of zypper."""

DNF5 = "/usr/lib/sysimage/libdnf5/packages.toml"
"""The file of dnf5."""

DNF = "/var/lib/dnf/history.sqlite"
"""The file of dnf."""

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
    found = tree.found([DNF5, DNF, log, ZYPPER])
    read = tree.read_many(list(found.values())) if found else {}
    contents = {path: read[real] for path, real in found.items()}
    if DNF5 in contents:
        return _known(_by_dnf5(contents[DNF5]))
    if contents.get(DNF):
        return _known(_by_dnf(contents[DNF], contents.get(log, b"")))
    if ZYPPER in contents:
        lines = contents[ZYPPER].decode("utf-8", "surrogateescape").split("\n")
        names = {line.strip() for line in lines if not line.startswith("#")}
        return lambda name, _arch: name in names
    return lambda _name, _arch: None


def _known(by_name: Mapping[tuple[str, str], bool]) -> IsAutomatic:
    return lambda name, arch: by_name.get((name, arch))


def _by_dnf5(content: bytes) -> dict[tuple[str, str], bool]:
    try:
        table = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise damaged(DNF5, f"it is no TOML: {error}") from error
    packages = table.get("packages")
    found = {}
    for label, facts in packages.items() if isinstance(packages, dict) else ():
        name, _, arch = str(label).rpartition(".")
        reason = facts.get("reason") if isinstance(facts, dict) else None
        if isinstance(reason, str) and reason:
            found[name, arch] = reason in _FOR_OTHERS
    return found


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
