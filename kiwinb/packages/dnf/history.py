"""Give the histories of dnf the time of the repositories, so that two builds have the same ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from kiwinb.sandbox.paths import resolve_in
from kiwinb.sandbox.tree_files import copy_out, write_in

_HISTORIES: Mapping[str, str] = {
    "/var/lib/dnf/history.sqlite": "cmdline",
    "/usr/lib/sysimage/libdnf5/transaction_history.sqlite": "description",
}
"""Histories of dnf 4 and dnf 5, and the columns with the commands."""

_NO_USER = 4294967295


def settle_histories(root: Path, work: Path, epoch: int) -> None:
    """Set the times of all transactions, and leave out what differs between hosts.

    Args:
        root: The root tree.
        work: Private directory.
        epoch: The time, in seconds since 1970-01-01 UTC.
    """
    for history, command in _HISTORIES.items():
        if resolve_in(root, history).is_file():
            _settle(root, work, epoch, history, command)


def _settle(root: Path, work: Path, epoch: int, history: str, command: str) -> None:
    copy = work / "history.sqlite"
    copy.unlink(missing_ok=True)
    for suffix in ("", "-wal"):
        if resolve_in(root, history + suffix).is_file():
            copy_out(root, history + suffix, copy.with_name(copy.name + suffix))
    with closing(sqlite3.connect(copy, isolation_level=None)) as database:
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute(
            f"UPDATE trans SET dt_begin = ?, dt_end = ?, user_id = ?, {command} = '', "
            "rpmdb_version_begin = '', rpmdb_version_end = ''",
            (epoch, epoch, _NO_USER),
        )
        database.execute("VACUUM")
    write_in(root, history, copy.read_bytes())
    for suffix in ("-wal", "-shm"):
        resolve_in(root, history + suffix).unlink(missing_ok=True)
    copy.unlink()
