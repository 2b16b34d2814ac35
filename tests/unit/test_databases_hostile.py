"""Databases that are damaged, or made to do harm, give one clear error in bounded time."""

from __future__ import annotations

import gzip
import random
import sqlite3
import struct
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import rpm_databases as made
import test_apk_database as apk
from inspect_trees import Deb, database
from test_inspect_formats_hostile import bounded_memory

from kiwinb.errors import InspectError
from kiwinb.packages.databases import DATABASES
from kiwinb.packages.databases.database import TreeFiles

RPM = f"/{made.HOME}"
MUTANTS = 400
Kept = Mapping[str, bytes]


def without_digests(blob: bytes) -> bytes:
    """A header of which every change is read, because no digest tells of it."""
    for tag in (269, 273):
        blob = blob.replace(struct.pack(">II", tag, 6), struct.pack(">II", 999_000 + tag, 6))
    return blob


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("rpm")
    return made.install(top / "root", made.build(top))


@pytest.fixture(scope="module")
def headers(installed: Path) -> list[bytes]:
    return [without_digests(blob) for blob in made.blobs(installed)]


def of_sqlite(headers: list[bytes], scratch: Path) -> Kept:
    with closing(sqlite3.connect(scratch / "db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
        for number, blob in enumerate(headers):
            connection.execute("INSERT INTO Packages (blob) VALUES (?)", (blob,))
            connection.commit()
            if number == 1:
                connection.execute("PRAGMA wal_checkpoint(FULL)")
        log = (scratch / "db-wal").read_bytes()
        return {
            f"{RPM}/rpmdb.sqlite": (scratch / "db").read_bytes(),
            f"{RPM}/rpmdb.sqlite-wal": log,
        }


def whole(headers: list[bytes]) -> bytes:
    """A database of SQLite without a log."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
        connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(b,) for b in headers])
        connection.commit()
        return connection.serialize()


def of_bdb(headers: list[bytes], scratch: Path) -> Kept:
    file = made.bdb(scratch / "Packages", headers, order=1234, page=512)
    return {f"{RPM}/Packages": file.read_bytes()}


PACMAN = "/var/lib/pacman/local"
MTREE = b"#mtree\n/set type=file uid=0 gid=0 mode=644\n./a\\040b size=1 md5digest=0 time=1.0\n"
KINDS: Mapping[str, Callable[[list[bytes], Path], Kept]] = {
    "dpkg": lambda _headers, _scratch: {
        **database(Deb("a", "1", "Depends: b (>= 1) | c\nConffiles:\n /etc/a 0\n", ["/a", "/b"])),
        "/var/lib/dpkg/info/a.md5sums": b"0" * 32 + b"  a\n",
    },
    "rpm in sqlite with a log": of_sqlite,
    "rpm in sqlite": lambda headers, _scratch: {f"{RPM}/rpmdb.sqlite": whole(headers)},
    "rpm in ndb": lambda headers, _scratch: {f"{RPM}/Packages.db": made.ndb(headers)},
    "rpm in bdb": of_bdb,
    "a header of rpm": lambda headers, _scratch: {f"{RPM}/header": headers[-1]},
    "reasons of dnf5": lambda headers, _scratch: {
        f"{RPM}/Packages.db": made.ndb(headers),
        "/usr/lib/sysimage/libdnf5/packages.toml": b'[packages]\n"a.b" = {reason = "User"}\n',
        "/usr/lib/sysimage/libdnf5/groups.toml": b'[groups.a]\npackages = ["b"]\n',
    },
    "pacman": lambda _headers, _scratch: {
        f"{PACMAN}/a-1-1/desc": b"%NAME%\na\n\n%VERSION%\n1-1\n\n%SIZE%\n7\n\n%DEPENDS%\nb>=1\n\n",
        f"{PACMAN}/a-1-1/files": b"%FILES%\nusr/\nusr/a\n\n%BACKUP%\nusr/a\t0\n\n",
        f"{PACMAN}/a-1-1/mtree": MTREE,
        f"{PACMAN}/ALPM_DB_VERSION": b"9\n",
    },
    "apk": lambda _headers, _scratch: {
        "/lib/apk/db/installed": apk.INSTALLED.encode(),
        "/etc/apk/world": apk.WORLD,
    },
}


class Files:
    """The files of a tree without links; it is quicker than a tree with a table."""

    has_contents = True

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def exists(self, path: str) -> bool:
        return any(place == path or place.startswith(f"{path}/") for place in self._kept)

    def resolved(self, path: str) -> str:
        return path

    def found(self, paths: Sequence[str]) -> Mapping[str, str]:
        return {path: path for path in paths if path in self._kept}

    def read(self, path: str) -> bytes:
        return self._kept[path]

    def read_many(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        return {path: self._kept[path] for path in paths}

    def below(self, directory: str) -> Sequence[str]:
        return sorted(path for path in self._kept if path.startswith(f"{directory}/"))


def read_all(tree: TreeFiles) -> None:
    for kind in DATABASES.values():
        if kind.present(tree):
            found = kind.packages(tree)
            list(kind.owned(tree, found))
            list(kind.stated(tree, found))
            kind.scripts(tree, found)
            for package in found:
                for group in package.depends:
                    for requirement in group:
                        kind.meets(package.version, requirement)


def tree_of(kept: Kept) -> Files:
    if f"{RPM}/header" in kept:
        return Files({f"{RPM}/Packages.db": made.ndb([kept[f"{RPM}/header"]])})
    return Files(kept)


def mutant(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 3, 10))):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(5):
            case 0:
                changed[at : at + 1] = chance.randbytes(1)
            case 1:
                changed[at : at + 4] = chance.choice((b"\xff" * 4, bytes(4), b"\0\0\0\1"))
            case 2:
                del changed[at : at + chance.choice((1, 16, 512))]
            case 3:
                start = chance.randrange(len(changed) + 1)
                changed[at:at] = changed[start : start + chance.choice((1, 16, 512))]
            case 4:
                del changed[chance.choice((at, len(changed))) :]
    return bytes(changed)


@pytest.mark.needs("rpmbuild")
@pytest.mark.needs("db5.3_load")
@pytest.mark.parametrize("kind", KINDS)
def test_mutants_give_an_error_or_packages(kind: str, headers: list[bytes], tmp_path: Path) -> None:
    kept = KINDS[kind](headers, tmp_path)
    read_all(tree_of(kept))
    chance = random.Random(kind)
    refused = 0
    begun = time.process_time()
    with bounded_memory():
        for _ in range(MUTANTS):
            path = chance.choice(sorted(kept))
            changed = {**kept, path: mutant(kept[path], chance)}
            try:
                read_all(tree_of(changed))
            except InspectError as error:
                refused += 1
                assert len(str(error)) < 500
            except BaseException:
                print(kind, path, changed[path], file=sys.stderr)
                raise
    assert refused > MUTANTS // 100
    assert time.process_time() - begun < 60


@pytest.mark.needs("rpmbuild")
@pytest.mark.needs("db5.3_load")
@pytest.mark.parametrize("kind", KINDS)
def test_databases_that_end_early(kind: str, headers: list[bytes], tmp_path: Path) -> None:
    kept = KINDS[kind](headers, tmp_path)
    for path, content in kept.items():
        for size in (0, 1, 7, 20, 100, 600, len(content) // 2, len(content) - 1):
            try:
                read_all(tree_of({**kept, path: content[:size]}))
            except InspectError as error:
                assert str(error)


def schema(*statements: str) -> bytes:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        return connection.serialize()


ENDLESS = "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"
HARM = {
    "a view without an end": schema(f"CREATE VIEW Packages AS SELECT x AS blob FROM ({ENDLESS})"),
    "a virtual table": schema("CREATE VIRTUAL TABLE Packages USING fts5(blob)"),
    "a function in a column": schema(
        "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob AS (zeroblob(1000000000)))",
        "INSERT INTO Packages (hnum) VALUES (1)",
    ),
    "no such column": schema("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, other BLOB)"),
    "no such table": schema("CREATE TABLE Other (hnum INTEGER PRIMARY KEY, blob BLOB)"),
    "text for a header": schema(
        "CREATE TABLE Packages (blob)", "INSERT INTO Packages VALUES ('text')"
    ),
    "rows without numbers": schema("CREATE TABLE Packages (blob PRIMARY KEY) WITHOUT ROWID"),
}


@pytest.mark.parametrize("name", HARM)
def test_what_sqlite_would_run_is_refused(name: str) -> None:
    tree = Files({f"{RPM}/rpmdb.sqlite": HARM[name]})
    begun = time.process_time()
    with bounded_memory(), pytest.raises(InspectError, match=r"rpmdb\.sqlite: "):
        read_all(tree)
    assert time.process_time() - begun < 5


def test_headers_that_many_places_share_are_refused() -> None:
    blob = bytes(100_000)
    data = bytearray(made.ndb([blob]))
    for at in range(64, 4096, 16):
        data[at : at + 16] = data[32:48]
    with pytest.raises(InspectError, match=r"Packages\.db: "):
        read_all(Files({f"{RPM}/Packages.db": bytes(data)}))


@pytest.mark.needs("db5.3_load")
def test_pages_in_a_circle_are_refused(tmp_path: Path) -> None:
    data = bytearray(made.bdb(tmp_path / "Packages", [bytes(50_000)], page=512).read_bytes())
    chained = [at for at in range(0, len(data), 512) if data[at + 25] == 7]
    for at in chained:
        data[at + 16 : at + 20] = struct.pack("<I", chained[0] // 512)
    with pytest.raises(InspectError, match=r"/Packages: "):
        read_all(Files({f"{RPM}/Packages": bytes(data)}))


def test_a_bomb_in_an_archive_of_scripts_is_refused() -> None:
    kept = {
        "/lib/apk/db/installed": apk.INSTALLED.encode(),
        "/lib/apk/db/scripts.tar.gz": gzip.compress(bytes(1 << 28), 1),
    }
    begun = time.process_time()
    with bounded_memory():
        read_all(Files(kept))  # it is empty: two blocks of zeros end an archive
    assert time.process_time() - begun < 5
