"""The database of rpm in each of its formats, held against what rpm says of it."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest
import rpm_databases as made
from inspect_trees import MemoryTree, write

from kiwinb.errors import InspectError
from kiwinb.inspect.diff import diff
from kiwinb.inspect.files import files
from kiwinb.inspect.formats.directory import DirectoryTree
from kiwinb.inspect.packages import chain, packages
from kiwinb.inspect.unowned import unowned
from kiwinb.inspect.verify import verify
from kiwinb.packages.databases import find_database, read_database
from kiwinb.packages.databases.database import Package, Requirement
from kiwinb.packages.databases.directory import DirectoryFiles
from kiwinb.packages.databases.rpm import Rpm

pytestmark = [pytest.mark.needs("rpm"), pytest.mark.needs("rpmbuild")]

HOMES = ("usr/lib/sysimage/rpm", "var/lib/rpm", "usr/share/rpm")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("rpm")
    return made.install(top / "root", made.build(top))


@pytest.fixture(scope="module")
def headers(tree: Path) -> list[bytes]:
    return made.blobs(tree)


def sqlite(place: Path, headers: list[bytes]) -> None:
    with closing(sqlite3.connect(place / "rpmdb.sqlite")) as connection:
        connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
        connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(b,) for b in headers])
        connection.commit()


def bdb(order: int, page: int) -> Callable[[Path, list[bytes]], object]:
    return lambda place, headers: made.bdb(place / "Packages", headers, order=order, page=page)


FORMATS: Mapping[str, Callable[[Path, list[bytes]], object]] = {
    "sqlite": sqlite,
    "ndb": lambda place, headers: (place / "Packages.db").write_bytes(made.ndb(headers)),
    "bdb": bdb(1234, 4096),
    "bdb of another byte order": bdb(4321, 4096),
    "bdb with small pages": bdb(1234, 512),
    "bdb with large pages": bdb(1234, 65536),
}


def read(root: Path) -> tuple[Package, ...]:
    found = read_database(DirectoryFiles(root))
    assert found is not None and found[0].name == "rpm"
    return found[1]


def lines(text: str) -> list[str]:
    return sorted(text.splitlines())


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.needs("db5.3_load")
def test_all_formats_say_the_same(
    name: str, home: str, tree: Path, headers: list[bytes], tmp_path: Path
) -> None:
    (tmp_path / home).mkdir(parents=True)
    FORMATS[name](tmp_path / home, headers)
    found = read(tmp_path)
    assert len(found) == 4
    assert found == read(tree)
    if name.startswith("bdb"):
        form = "%{NAME} %{EVR} %{ARCH}\n"
        said = made.query(tmp_path, "-qa", "--qf", form, backend="bdb_ro", home=home)
        assert lines(said) == sorted(f"{p.name} {p.version} {p.arch}" for p in found)


def test_facts_as_rpm_says(tree: Path) -> None:
    form = "%{NAME}|%{EPOCHNUM}:%{VERSION}-%{RELEASE}|%{ARCH}|%{SIZE}|%{GROUP}|%{LICENSE}|"
    said = made.query(tree, "-qa", "--qf", f"{form}%{{VENDOR}}|%{{SUMMARY}}|%{{SOURCERPM}}\n")
    ours = [
        f"{p.name}|{p.version}|{p.arch}|{p.installed_size}|{p.section}|{p.license}|{p.vendor}"
        f"|{p.summary}|{p.source}-{p.source_version}.src.rpm"
        for p in read(tree)
    ]
    assert sorted(ours) == lines(said)


def test_paths_as_rpm_says(tree: Path) -> None:
    found = DirectoryFiles(tree)
    ours = dict(Rpm().owned(found, Rpm().packages(found)))
    assert ours.keys() == {"app", "applib", "appextra", "appdoc"}
    for label, paths in ours.items():
        said = made.query(tree, "-ql", label).splitlines()
        assert paths == [line for line in said if line.startswith("/")]
        for path in paths:
            assert made.query(tree, "-q", "--qf", "%{NAME}", "-f", path) == label
    table = files(DirectoryTree(tree)).set_index("path")["package"]
    assert table["/usr/share/applib/with space"] == "applib"


def test_requirements_as_rpm_says(tree: Path) -> None:
    signs = {"<<": "<", ">>": ">"}
    for package in read(tree):
        ours = {
            f"{r.name} {signs.get(r.operator, r.operator)} {r.version}".strip()
            for group in package.depends
            for r in group
            if len(group) == 1
        }
        said = made.query(tree, "-q", "--requires", package.name).splitlines()
        assert ours - {"appextra"} == {s for s in said if s[0] != "(" and "rpmlib" not in s}
        provided = {
            f"{name} = {version}" if version else name for name, version in package.provides
        }
        said = made.query(tree, "-q", "--provides", package.name).splitlines()
        assert {name for name in provided if name[0] != "/"} == set(said)


def test_reverse_dependencies(tree: Path) -> None:
    table = packages(DirectoryTree(tree)).set_index("name")
    assert table.loc["applib", "required_by"] == ("app",)
    assert table.loc["appextra", "required_by"] == ("app",)
    assert table.loc["appdoc", "required_by"] == ("app",)
    assert table.loc["appdoc", "recommended_by"] == ("app",)
    assert table.loc["app", "why"] == "no other package needs it"
    assert [str(step) for step in chain(DirectoryTree(tree), "appdoc")] == [
        "dependency of app, one of appdoc | nothing",
        "no other package needs it",
    ]


@pytest.mark.parametrize(
    ("version", "operator", "wanted", "meets"),
    [
        ("1.0-3", "=", "1.0", True),
        ("1.0", "=", "1.0-3", True),
        ("1.0-3", ">>", "1.0", False),
        ("1.0-3", "=", "1.0-4", False),
        ("1:1.0-3", "<<", "2.0", False),
        ("", ">=", "2.0", True),
        ("1.0-3", "", "", True),
    ],
)
def test_what_meets_a_requirement(version: str, operator: str, wanted: str, meets: bool) -> None:
    assert Rpm().meets(version, Requirement("x", operator, wanted)) is meets


def test_scripts_explain_files(tree: Path, tmp_path: Path) -> None:
    shutil.copytree(tree, tmp_path / "root", symlinks=True)
    write(tmp_path / "root", {"/etc/made-by-app": b"", "/etc/by-hand": b""})
    reasons = unowned(DirectoryTree(tmp_path / "root")).set_index("path")["reason"]
    assert reasons["/etc/made-by-app"] == "named in the post script of app"
    assert reasons["/etc/by-hand"] == ""
    assert reasons["/usr/lib/sysimage/rpm/rpmdb.sqlite"] == "database of rpm"


def test_verify_as_rpm_does(tree: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(tree, root, symlinks=True)
    assert verify(DirectoryTree(root)).empty
    (root / "etc/app.conf").write_text("edited\n")
    (root / "usr/bin/app").chmod(0o755)
    (root / "usr/bin/application").unlink()
    (root / "usr/bin/application").symlink_to("other")
    (root / "usr/share/applib/data").write_text("atad\n")
    (root / "usr/share/applib/unchecked").write_text("something else\n")
    (root / "usr/share/doc/app/README").unlink()
    assert not (root / "var/log/app.log").exists()
    (root / "usr/share/applib/with space").unlink()
    (root / "usr/share/applib/with space").mkdir()
    ours = verify(DirectoryTree(root))
    assert dict(zip(ours["path"], ours["what"], strict=True)) == {
        "/etc/app.conf": "content",
        "/usr/bin/app": "mode",
        "/usr/bin/application": "target",
        "/usr/share/applib/data": "content",
        "/usr/share/applib/with space": "type, mode",
        "/usr/share/doc/app/README": "missing",
    }
    assert ours.loc[ours["config"], "path"].tolist() == ["/etc/app.conf"]
    assert ours.loc[ours["path"].eq("/usr/bin/app"), "package"].tolist() == ["app"]
    omitted = ("mtime", "user", "group", "deps", "scripts", "caps", "rdev")
    said = made.query(root, "-Va", *(f"--no{word}" for word in omitted))
    assert sorted(re.findall(" (/.*)", said)) == ours["path"].tolist()
    flags = {"content": "[S5]", "mode": "M", "target": "L", "type": "M", "missing": "missing"}
    for path, what in zip(ours["path"], ours["what"], strict=True):
        (line,) = (line for line in said.splitlines() if line.endswith(path))
        assert all(re.search(flags[word], line.partition("/")[0]) for word in what.split(", "))
        assert (" c " in line) == (path == "/etc/app.conf")


def test_what_is_only_in_the_log_of_sqlite(
    tree: Path, headers: list[bytes], tmp_path: Path
) -> None:
    """A database that was copied, or whose program ended, before the log was written back."""
    place = tmp_path / "work" / made.HOME
    place.mkdir(parents=True)
    with closing(sqlite3.connect(place / "rpmdb.sqlite")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
        connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(b,) for b in headers])
        connection.commit()
        connection.execute("DELETE FROM Packages WHERE hnum = 1")  # and not committed
        shutil.copytree(tmp_path / "work", tmp_path / "root")
        connection.rollback()
    database = (tmp_path / "root" / made.HOME / "rpmdb.sqlite").stat().st_size
    log = (tmp_path / "root" / made.HOME / "rpmdb.sqlite-wal").read_bytes()
    assert database < len(log)
    assert read(tmp_path / "root") == read(tree)
    (tmp_path / "root" / made.HOME / "rpmdb.sqlite-wal").write_bytes(log[:-5])
    assert read(tmp_path / "root") == (), "the last transaction is not complete"


def test_two_versions_of_a_package(tree: Path, tmp_path: Path) -> None:
    spec = made.SPEC[: made.SPEC.index("%package -n applib")] + "%files\n"
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        again = spec.replace("1.2~rc1", version).replace("Name: app", "Name: kernel")
        made.install(tmp_path / "root", made.build(tmp_path / version, again))
    found = read(tmp_path / "root")
    assert [p.label for p in found] == ["kernel-2:1-3.noarch", "kernel-2:2-3.noarch"]
    difference = diff(tree, tmp_path / "root").packages
    assert difference.set_index("after")["change"]["2:2-3"] == "added"


AUTO = {
    "zypper": {"/var/lib/zypp/AutoInstalled": b"# generated\n\napplib\nappdoc\n"},
    "dnf5": {
        "/usr/lib/sysimage/libdnf5/packages.toml": b'version = "1.0"\n[packages]\n'
        b'"app.noarch" = {reason = "User"}\n"appextra.noarch" = {reason = "Group"}\n'
        b'"applib.noarch" = {reason = "Dependency"}\n'
        b'"appdoc.noarch" = {reason = "Weak Dependency"}\n'
    },
    "dnf5 with groups": {
        "/usr/lib/sysimage/libdnf5/packages.toml": b'version = "1.0"\n[packages]\n'
        b'"app.noarch" = {reason = "User"}\n"appextra.noarch" = {reason = "Dependency"}\n'
        b'"applib.noarch" = {reason = "Dependency"}\n',
        "/usr/lib/sysimage/libdnf5/groups.toml": b'version = "1.0"\n[groups]\n[groups.own]\n'
        b'packages = ["appextra", "absent"]\nuserinstalled = true\n',
    },
}


@pytest.mark.parametrize("tool", AUTO)
def test_who_asked_for_a_package(tool: str, headers: list[bytes]) -> None:
    kept = {f"/{made.HOME}/Packages.db": made.ndb(headers), **AUTO[tool]}
    table = packages(MemoryTree(kept)).set_index("name")
    assert table.loc["app", "why"] == "installed by name"
    assert table.loc["appextra", "why"] == "installed by name"
    assert table.loc["applib", "why"] == "dependency of app, provides /usr/share/applib/data"


def test_who_asked_dnf_for_a_package(headers: list[bytes], tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "history")) as history:
        history.executescript(
            "CREATE TABLE rpm (item_id INTEGER PRIMARY KEY, name TEXT, arch TEXT);"
            "CREATE TABLE trans_item (id INTEGER PRIMARY KEY, item_id INTEGER, reason INTEGER);"
            "INSERT INTO rpm VALUES (1, 'app', 'noarch'), (2, 'applib', 'noarch');"
            "INSERT INTO rpm VALUES (3, 'appextra', 'noarch'), (4, 'appdoc', 'noarch');"
            "INSERT INTO trans_item (item_id, reason) VALUES (1, 2), (2, 1), (3, 1), (4, 4);"
            "INSERT INTO trans_item (item_id, reason) VALUES (3, 2);"
        )
    content = (tmp_path / "history").read_bytes()
    kept = {f"/{made.HOME}/Packages.db": made.ndb(headers), "/var/lib/dnf/history.sqlite": content}
    database = Rpm()
    found = {p.name: p.automatic for p in database.packages(MemoryTree(kept))}
    assert found == {"app": False, "applib": True, "appextra": False, "appdoc": True}


def test_an_empty_database_beside_that_of_dpkg(tmp_path: Path) -> None:
    place = tmp_path / made.HOME
    place.mkdir(parents=True)
    made.query(tmp_path, "--initdb")
    assert (place / "rpmdb.sqlite").stat().st_size
    assert read(tmp_path) == ()
    status = b"Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n"
    write(tmp_path, {"/var/lib/dpkg/status": status})
    database = find_database(DirectoryFiles(tmp_path))
    assert database is not None and database.name == "dpkg"
    (tmp_path / "var/lib/dpkg/status").write_bytes(b"")
    assert find_database(DirectoryFiles(tmp_path)) is not None


def test_packages_of_rpm_beside_an_empty_database_of_dpkg(headers: list[bytes]) -> None:
    kept = {f"/{made.HOME}/Packages.db": made.ndb(headers), "/var/lib/dpkg/status": b""}
    assert "applib" in packages(MemoryTree(kept))["name"].tolist()


def test_a_header_that_was_changed(headers: list[bytes]) -> None:
    changed = [header.replace(b"An application", b"An Application") for header in headers]
    assert changed != headers
    tree = MemoryTree({f"/{made.HOME}/Packages.db": made.ndb(changed)})
    with pytest.raises(
        InspectError, match=r"Packages\.db: the header of app is not as it was made"
    ):
        packages(tree)


def test_a_database_behind_a_link_stays_in_the_tree(headers: list[bytes], tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"/Packages.db": made.ndb(headers)})
    root = tmp_path / "root"
    (root / "usr/lib/sysimage/rpm").mkdir(parents=True)
    (root / "var/lib").mkdir(parents=True)
    (root / "var/lib/rpm").symlink_to(outside)
    (root / "usr/share").mkdir()
    (root / "usr/share/rpm").symlink_to("../../../outside")
    assert read_database(DirectoryFiles(root)) is None
    with DirectoryTree(root) as tree, pytest.raises(InspectError, match="there is no package data"):
        packages(tree)
    (root / "usr/lib/sysimage/rpm/Packages.db").write_bytes(made.ndb(headers))
    (root / "var/lib/rpm").unlink()
    (root / "var/lib/rpm").symlink_to("/usr/lib/sysimage/rpm")
    assert len(read(root)) == 4


def test_a_header_that_stands_for_endless_paths_is_refused() -> None:
    count = 1 << 20
    directory = b"/" + b"x" * (1 << 20) + b"\0"
    blob = made.header(
        *made.NAMED,
        (1116, 4, bytes(4 * count), count),
        (1117, 8, b"a\0" * count, count),
        (1118, 8, directory, 1),
    )
    tree = MemoryTree({f"/{made.HOME}/Packages.db": made.ndb([blob])})
    database = Rpm()
    with pytest.raises(InspectError, match="lists more than"):
        list(database.owned(tree, database.packages(tree)))


def test_sizes_that_are_none() -> None:
    blob = made.header(*made.NAMED, (5009, 5, b"\xff" * 8, 1))
    table = packages(MemoryTree({f"/{made.HOME}/Packages.db": made.ndb([blob])}))
    assert table["installed_size"].tolist() == [0]
