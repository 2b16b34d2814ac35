"""Give the history of dnf the time of the repositories, so that two builds have the same one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from kiwinb.sandbox.paths import resolve_in
from kiwinb.sandbox.tree_files import copy_out, write_in

HISTORY = "/var/lib/dnf/history.sqlite"

_NO_USER = 4294967295


def settle_history(root: Path, work: Path, epoch: int) -> None:
    """Set the times of all transactions, and leave out what differs between hosts.

    Args:
        root: The root tree.
        work: Private directory.
        epoch: The time, in seconds since 1970-01-01 UTC.
    """
    if not resolve_in(root, HISTORY).is_file():
        return
    copy = work / "history.sqlite"
    copy.unlink(missing_ok=True)
    for suffix in ("", "-wal"):
        if resolve_in(root, HISTORY + suffix).is_file():
            copy_out(root, HISTORY + suffix, copy.with_name(copy.name + suffix))
    with closing(sqlite3.connect(copy, isolation_level=None)) as database:
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute(
            "UPDATE trans SET dt_begin = ?, dt_end = ?, user_id = ?, cmdline = '', "
            "rpmdb_version_begin = '', rpmdb_version_end = ''",
            (epoch, epoch, _NO_USER),
        )
        database.execute("VACUUM")
    write_in(root, HISTORY, copy.read_bytes())
    for suffix in ("-wal", "-shm"):
        resolve_in(root, HISTORY + suffix).unlink(missing_ok=True)
    copy.unlink()
