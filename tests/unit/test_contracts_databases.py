"""What every kind of package database promises: all tables and views work with it, without a word
about the kind."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pytest
import rpm_databases as rpm
from inspect_trees import Deb, Item, MemoryTree, database

from kiwinb import expect
from kiwinb.inspect.breakdown import breakdown
from kiwinb.inspect.diff import diff
from kiwinb.inspect.files import files
from kiwinb.inspect.kinds import kinds
from kiwinb.inspect.packages import chain, packages
from kiwinb.inspect.unowned import unowned
from kiwinb.inspect.verify import verify
from kiwinb.notebook.browser import TreeBrowser
from kiwinb.notebook.explorer import SizeExplorer
from kiwinb.notebook.package_diff import DifferenceBrowser
from kiwinb.packages.databases import DATABASES

Kept = dict[str, bytes]
LIB = "/usr/lib/lib.so"


@dataclass(frozen=True)
class One:
    """A package of a test."""

    name: str
    version: str
    needs: str = ""
    files: Sequence[str] = ()


def of_dpkg(made: Sequence[One]) -> Kept:
    return database(
        *(
            Deb(
                item.name,
                item.version,
                f"Depends: {item.needs}\n" if item.needs else "",
                ["/usr", "/usr/lib", *item.files] if item.files else [],
                automatic=item.name == "lib",
            )
            for item in made
        )
    )


def of_rpm(made: Sequence[One]) -> Kept:
    def blob(item: One) -> bytes:
        version, _, release = item.version.partition("-")
        texts = {1000: item.name, 1001: version, 1002: release, 1022: "noarch"}
        entries = [(tag, 6, text.encode() + b"\0", 1) for tag, text in texts.items()]
        entries.append((1009, 4, (10240).to_bytes(4, "big"), 1))
        if item.needs:
            entries.append((1049, 8, item.needs.encode() + b"\0", 1))
        if item.files:
            names = b"".join(path.rpartition("/")[2].encode() + b"\0" for path in item.files)
            entries.append((1116, 4, bytes(4 * len(item.files)), len(item.files)))
            entries.append((1117, 8, names, len(item.files)))
            entries.append((1118, 8, b"/usr/lib/\0", 1))
        return rpm.header(*entries)

    kept = {f"/{rpm.HOME}/Packages.db": rpm.ndb([blob(item) for item in made])}
    return {**kept, "/var/lib/zypp/AutoInstalled": b"lib\n"}


def of_pacman(made: Sequence[One]) -> Kept:
    kept = {}
    for item in made:
        place = f"/var/lib/pacman/local/{item.name}-{item.version}"
        desc = (
            f"%NAME%\n{item.name}\n\n%VERSION%\n{item.version}\n\n%SIZE%\n10240\n\n%ARCH%\nany\n\n"
        )
        if item.name == "lib":
            desc += "%REASON%\n1\n\n"
        if item.needs:
            desc += f"%DEPENDS%\n{item.needs}\n\n"
        listed = "".join(f"{path[1:]}\n" for path in ("/usr/", "/usr/lib/", *item.files))
        kept[f"{place}/desc"] = desc.encode()
        kept[f"{place}/files"] = f"%FILES%\n{listed if item.files else ''}\n".encode()
    return kept


def of_apk(made: Sequence[One]) -> Kept:
    text = ""
    for item in made:
        text += f"P:{item.name}\nV:{item.version}\nA:noarch\nI:10240\n"
        text += f"D:{item.needs}\n" if item.needs else ""
        text += "F:usr\nF:usr/lib\n" if item.files else ""
        text += "".join(f"R:{path.rpartition('/')[2]}\n" for path in item.files) + "\n"
    return {"/lib/apk/db/installed": text.encode(), "/etc/apk/world": b"app\n"}


MAKERS: Mapping[str, Callable[[Sequence[One]], Kept]] = {
    "dpkg": of_dpkg,
    "rpm": of_rpm,
    "pacman": of_pacman,
    "apk": of_apk,
}
RELEASE = {"apk": "r1"}


def tree(kind: str, version: str = "1.9") -> MemoryTree:
    """A tree with an application, its library and a file of nobody."""
    full = f"{version}-{RELEASE.get(kind, '1')}"
    made = [One("app", full, "lib"), One("lib", full, files=[LIB])]
    kept: dict[str, Item | bytes | str] = {**MAKERS[kind](made), "/srv/mine": b"x"}
    return MemoryTree({**kept, LIB: version.encode() * 100}, f"{kind} {version}")


def test_every_kind_is_here() -> None:
    assert MAKERS.keys() == DATABASES.keys()


@pytest.mark.parametrize("kind", DATABASES)
def test_tables(kind: str) -> None:
    table = packages(tree(kind)).set_index("name")
    assert table["why"].to_dict() == {"app": "installed by name", "lib": "dependency of app"}
    assert table.loc["lib", "required_by"] == ("app",)
    assert table["installed_size"].tolist() == [10240, 10240]
    assert [str(step) for step in chain(tree(kind), "lib")] == [
        "dependency of app",
        "installed by name",
    ]
    table = files(tree(kind)).set_index("path")
    assert (table.loc[LIB, "package"], table.loc["/srv/mine", "package"]) == ("lib", "")
    groups = breakdown(tree(kind), "package").set_index("group")["size"]
    assert groups["lib"] == 300
    assert breakdown(tree(kind), "section")["size"].sum() == table["size"].sum()
    strange = unowned(tree(kind)).query("type == 'file' and reason == ''")
    assert strange["path"].tolist() == ["/srv/mine"]
    assert verify(tree(kind)).empty
    expect.package(tree(kind), "lib", at_least="1.8")
    expect.no_package(tree(kind), "other")


@pytest.mark.parametrize("kind", DATABASES)
def test_its_own_files_are_known(kind: str) -> None:
    mine = MAKERS[kind]([One("app", "1-1")])
    table = files(MemoryTree(dict(mine)))
    table = table[table["type"].eq("file")]
    assert set(table["path"]) == mine.keys()
    named = kinds(table)[~table["path"].str.startswith("/etc/").to_numpy()]
    assert len(named) and set(named) <= {"package database"}


@pytest.mark.parametrize("kind", DATABASES)
def test_what_changed(kind: str) -> None:
    found = diff(tree(kind), tree(kind, "1.10"))
    assert not found.packages_problem
    assert found.packages["change"].tolist() == ["upgraded", "upgraded"]
    assert set(found.packages["delta"]) == {0}
    assert LIB in found.files["path"].tolist()
    back = diff(tree(kind, "1.10"), tree(kind))
    assert back.packages["change"].tolist() == ["downgraded", "downgraded"]
    html, text = DifferenceBrowser(found).static()
    assert "upgraded" in html and "2 upgraded" in text


@pytest.mark.parametrize("kind", DATABASES)
def test_views(kind: str) -> None:
    table = files(tree(kind))
    browser = TreeBrowser(tree(kind), table)
    row = table.index[table["path"].eq(LIB)][0]
    assert dict(browser.answer({"op": "preview", "row": int(row)})["facts"])["Package"] == "lib"
    html, _text = SizeExplorer(tree(kind), by="package").static()
    assert "lib" in html


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(DATABASES, 2)))
def test_an_empty_database_hides_no_packages(one: str, other: str) -> None:
    """A system can have the tools of another one, with a database that has no packages."""
    nothing = {path: content for path, content in MAKERS[one]([]).items() if b"app" not in content}
    if one == "pacman":
        nothing = {"/var/lib/pacman/local/ALPM_DB_VERSION": b"9\n"}
    kept = {**nothing, **MAKERS[other]([One("app", "1-1")])}
    assert packages(MemoryTree(dict(kept)))["name"].tolist() == ["app"]
