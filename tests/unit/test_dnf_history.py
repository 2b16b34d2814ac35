"""The histories of dnf 4 and dnf 5 are the same in all builds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from kiwinb.packages.dnf.history import settle_histories

HISTORIES = {
    "var/lib/dnf/history.sqlite": "cmdline",
    "usr/lib/sysimage/libdnf5/transaction_history.sqlite": "description",
}


@pytest.mark.proves("package manager", "dnf4 dnf5 microdnf")
@pytest.mark.parametrize("path", HISTORIES)
def test_times_and_users_are_settled(path: str, tmp_path: Path) -> None:
    contents = []
    for number in (1, 2):
        root, work = tmp_path / f"root{number}", tmp_path / f"work{number}"
        work.mkdir()
        file = root / path
        file.parent.mkdir(parents=True)
        with closing(sqlite3.connect(file)) as database:
            database.execute(
                "CREATE TABLE trans (id INTEGER PRIMARY KEY, dt_begin INTEGER, dt_end INTEGER, "
                "rpmdb_version_begin TEXT, rpmdb_version_end TEXT, user_id INTEGER, "
                f"releasever TEXT, {HISTORIES[path]} TEXT)"
            )
            row = (1000 * number, 2000 * number, f"a{number}", f"b{number}", number, f"c{number}")
            database.execute("INSERT INTO trans VALUES (1, ?, ?, ?, ?, ?, '9', ?)", row)
            database.commit()
        settle_histories(root, work, 77)
        with closing(sqlite3.connect(file)) as database:
            rows = database.execute("SELECT dt_begin, dt_end, releasever FROM trans").fetchall()
        assert rows == [(77, 77, "9")]
        assert [item.name for item in file.parent.iterdir()] == [file.name]
        contents.append(file.read_bytes())
    assert contents[0] == contents[1]


def test_a_tree_without_history(tmp_path: Path) -> None:
    settle_histories(tmp_path, tmp_path, 77)
    assert [*tmp_path.iterdir()] == []
