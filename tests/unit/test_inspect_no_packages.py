"""Trees whose packages cannot be read: everyone who needs packages says why; sizes are shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner
from inspect_trees import Deb, MemoryTree, database

import kiwinb
from kiwinb import expect
from kiwinb.cli import app
from kiwinb.errors import ExpectationError, InspectError
from kiwinb.inspect.breakdown import BY, breakdown
from kiwinb.inspect.diff import diff
from kiwinb.inspect.files import files
from kiwinb.inspect.mtree import write
from kiwinb.inspect.packages import chain, packages
from kiwinb.inspect.tree import Tree
from kiwinb.inspect.unowned import unowned
from kiwinb.inspect.verify import verify
from kiwinb.notebook.browser import TreeBrowser
from kiwinb.notebook.explorer import SizeExplorer
from kiwinb.notebook.package_diff import DifferenceBrowser
from kiwinb.packages.databases.foreign import FOREIGN

OTHER = {"/etc/motd": b"x" * 100}
READABLE = MemoryTree({**database(Deb("bash")), **OTHER}, "readable")
DAMAGED = MemoryTree({"/var/lib/dpkg/status": b"Package: a\nSta", **OTHER}, "damaged")
NONE = MemoryTree(OTHER, "scratch")


class Listed(MemoryTree):
    """A mere list of files."""

    has_contents = False


def foreign(path: str) -> MemoryTree:
    return MemoryTree({path: b"binary", **OTHER}, "foreign")


UNREADABLE: Mapping[str, tuple[Tree, str]] = {
    **{
        f"{name} in {path}": (
            foreign(path),
            rf"foreign .*{re.escape(path)} is a database of {name}",
        )
        for name, paths in FOREIGN.items()
        for path in paths
    },
    "opkg behind a link": (
        MemoryTree({"/var/lib/opkg": "/usr/state/opkg", "/usr/state/opkg/status": b"x"}),
        "is a database of opkg",
    ),
    "opkg beside an empty database of dpkg": (
        MemoryTree({"/var/lib/dpkg/status": b"", "/var/lib/opkg/status": b"x"}),
        "is a database of opkg",
    ),
    "a damaged database of rpm behind a link": (
        MemoryTree(
            {"/var/lib/rpm": "/usr/lib/sysimage/rpm", "/usr/lib/sysimage/rpm/Packages": b"x"}
        ),
        "memory .*/usr/lib/sysimage/rpm/Packages: the file is cut off",
    ),
    "a damaged database of rpm beside an empty one of dpkg": (
        MemoryTree({"/var/lib/dpkg/status": b"", "/var/lib/rpm/rpmdb.sqlite": b"x"}),
        "memory .*/var/lib/rpm/rpmdb.sqlite: it is no database of SQLite",
    ),
    "damaged": (DAMAGED, "damaged .*/var/lib/dpkg/status:2: the file ends within a line"),
    "a list of files": (Listed(OTHER, "listed"), "listed .*a list of files has none"),
}
NEED_PACKAGES: Mapping[str, Callable[[Tree], object]] = {
    "packages": packages,
    "chain": lambda tree: chain(tree, "bash"),
    "unowned": unowned,
    "breakdown by package": lambda tree: breakdown(tree, "package"),
    "breakdown by section": lambda tree: breakdown(tree, "section"),
    "expect.package": lambda tree: expect.package(tree, "bash"),
    "expect.no_package": lambda tree: expect.no_package(tree, "bash"),
    "expect.no_unowned": expect.no_unowned,
    "verify": verify,
    "explorer by package": lambda tree: SizeExplorer(tree, by="package").static(),
    "explorer by section": lambda tree: SizeExplorer(tree, by="section").static(),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_everyone_who_needs_packages_says_why(name: str) -> None:
    tree, why = UNREADABLE[name]
    for use in NEED_PACKAGES.values():
        with pytest.raises(
            InspectError, match=f"packages of {why if why[0] != 'i' else '.*' + why}"
        ):
            use(tree)


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_difference_has_a_reason(name: str, tmp_path: Path) -> None:
    tree, why = UNREADABLE[name]
    listed = tmp_path / "image.packages"
    listed.write_text("bash|None|1|1|amd64|None|None\n")
    for found in (diff(tree, READABLE), diff(READABLE, tree), diff(tree, tree), diff(listed, tree)):
        assert re.search(why, found.packages_problem)
        assert found.packages_problem.count("cannot be read") == 1
        assert found.packages.empty
        said = DifferenceBrowser(found).state()["summary"]
        assert said == found.summary()
        assert re.search(f"^packages: not compared; .*{why}", said)
        assert "no change" not in said.splitlines()[0]


@pytest.mark.parametrize("name", UNREADABLE)
def test_sizes_are_shown(name: str) -> None:
    tree, _why = UNREADABLE[name]
    table = files(tree)
    assert table["package"].eq("").all()
    for by in set(BY) - {"package", "section"}:
        assert breakdown(tree, by)["size"].sum() == table["size"].sum()
    expect.size(tree, at_least=1)
    SizeExplorer(tree).sizes.groups("directory")
    browser = TreeBrowser(tree, table)
    browser.static()
    facts = browser.answer({"op": "preview", "row": 0})["facts"]
    assert "Package" not in dict(facts)


def test_a_tree_without_a_database_has_no_packages() -> None:
    with pytest.raises(InspectError, match="packages of scratch cannot be read: there is no"):
        packages(NONE)
    with pytest.raises(InspectError, match="there is no package database"):
        chain(NONE, "bash")
    assert breakdown(NONE, "package")["group"].tolist() == ["(no package)"]
    assert "/etc/motd" in unowned(NONE)["path"].tolist()
    expect.no_package(NONE, "*bash*")
    for options in ({}, {"at_least": "1"}, {"version": "1"}):
        with pytest.raises(ExpectationError, match="package bash: there is no package database"):
            expect.package(NONE, "bash", **options)
    found = diff(NONE, READABLE)
    assert "there is no package database" in found.summary()
    assert found.packages.empty and found.files["path"].tolist()


def test_on_the_command_line(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "var/lib/opkg").mkdir(parents=True)
    (tree / "var/lib/opkg/status").write_bytes(b"x")
    bare = tmp_path / "bare"
    (bare / "etc").mkdir(parents=True)
    listed = write(bare, tmp_path / "bare.mtree")

    def said(*words: object) -> str:
        done = CliRunner().invoke(app, ["inspect", *map(str, words)])
        if done.exception:
            raise done.exception
        return done.output

    places = ((tree, "database of opkg"), (bare, "no package database"), (listed, "list of files"))
    for place, why in places:
        for words in (["packages"], ["packages", "--json"], ["packages", "--why", "bash"]):
            with pytest.raises(InspectError, match=why):
                said(*words, place)
        assert said("files", place) and said("breakdown", place)
        text = said("diff", place, place)
        assert why in text and "no change" not in text.splitlines()[1]
        assert why in json.loads(said("diff", place, place, "--json"))["packages_problem"]
        with pytest.raises(InspectError, match=f"packages are not compared; .*{why}"):
            said("diff", place, place, "--csv")
        assert said("diff", place, place, "--csv", "--files").startswith("path,")
    for words in (["unowned"], ["breakdown", "--by", "package"]):
        with pytest.raises(InspectError, match="database of opkg"):
            said(*words, tree)
        assert said(*words, bare)


def test_the_difference_in_a_notebook(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "var/db/xbps").mkdir(parents=True)
        (tmp_path / name / "var/db/xbps/pkgdb-0.38.plist").write_text("<plist/>\n")
    found = kiwinb.diff(tmp_path / "a", tmp_path / "b")
    html, text = found.browse().static()
    assert "database of xbps" in html and "database of xbps" in text


def test_what_a_foreign_database_says_is_no_markup() -> None:
    """It gets into the summary, which is shown in pages and reports."""
    text = b"Package: a\n<img src=x onerror=alert(1)>\n"
    found = diff(MemoryTree({"/var/lib/dpkg/status": text}), MemoryTree({"/a": b""}))
    assert "<img" in found.summary()
    html, _text = DifferenceBrowser(found).static()
    assert "<img" not in html
    assert "&lt;img" in html
