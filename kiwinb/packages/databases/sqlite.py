"""Read a table of an SQLite database that may be damaged or made to do harm.

SQLite works on a copy in memory: it opens no file, runs no function and follows no trigger or view.

Source of the format of the write-ahead log: "The Database File Format" in SQLite's documentation.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from kiwinb.packages.databases.bounds import Allowance, damaged

_SIGNATURE = b"SQLite format 3\0"
_LOG_MAGIC = (0x377F0682, 0x377F0683)  # checksums of little and of big endian numbers
_LOG_HEADER, _FRAME_HEADER = 32, 24
_STEPS = 10_000
"""Instructions of SQLite between two looks at how many it took."""

_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 1 << 30,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 10_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 20,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 2,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 0,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_SETTINGS = ("trusted_schema=OFF", "query_only=ON", "cell_size_check=ON", "temp_store=MEMORY")
_ALLOWED = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ)


def read_table(
    data: bytes, log: bytes, table: str, columns: Sequence[str], where: str
) -> list[tuple[Any, ...]]:
    """Read columns of a table, ordered by its row numbers.

    Args:
        data: The database.
        log: Its write-ahead log, the file with ``-wal`` at the end; empty if there is none.
        table: Name of the table; views and virtual tables are refused.
        columns: Names of columns.
        where: Path of the database, for errors.

    Raises:
        InspectError: The database is damaged, or has no such table.
    """
    whole = _with_log(data, log, where)
    allowance = Allowance(len(whole), where)
    steps = Allowance(100 + len(whole) // 100, where)

    def watch() -> int:
        try:
            steps.take(1)
        except Exception:
            return 1
        return 0

    try:
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
            for limit, value in _LIMITS.items():
                connection.setlimit(limit, value)
            connection.text_factory = _text
            connection.deserialize(whole)
            for setting in _SETTINGS:
                connection.execute(f"PRAGMA {setting}")
            connection.set_progress_handler(watch, _STEPS)
            connection.set_authorizer(lambda action, *_: _verdict(action))
            return list(_rows(connection, table, columns, allowance, where))
    except (sqlite3.Error, OverflowError, MemoryError, ValueError) as error:
        raise damaged(where, f"SQLite cannot read it: {error}") from error


def _rows(
    connection: sqlite3.Connection,
    table: str,
    columns: Sequence[str],
    allowance: Allowance,
    where: str,
) -> Iterator[tuple[Any, ...]]:
    made = connection.execute(
        "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)
    ).fetchall()
    if len(made) != 1 or not str(made[0][0]).upper().startswith("CREATE TABLE"):
        raise damaged(where, f"it has no table {table}")
    names = ", ".join(f"[{name}]" for name in columns)
    for row in connection.execute(f"SELECT {names} FROM [{table}] ORDER BY rowid"):
        allowance.take(sum(len(item) for item in row if isinstance(item, str | bytes)) + len(row))
        yield row


def _verdict(action: int) -> int:
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def _with_log(data: bytes, log: bytes, where: str) -> bytes:
    """Return the database with the transactions of its write-ahead log, and without need of one."""
    if len(data) < 100 or not data.startswith(_SIGNATURE):
        raise damaged(where, "it is no database of SQLite")
    whole = bytearray(data)
    for number, page in _pages(log):
        start = (number - 1) * len(page)
        if start > len(data) + len(log):
            raise damaged(f"{where}-wal", "it has a page beyond the end")
        whole[len(whole) : start] = bytes(max(0, start - len(whole)))
        whole[start : start + len(page)] = page
    whole[18:20] = b"\1\1"
    return bytes(whole)


def _pages(log: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the pages of all complete transactions in a write-ahead log, with their numbers."""
    if len(log) < _LOG_HEADER:
        return
    magic, _version, size, _sequence, salt, pepper = struct.unpack_from(">6I", log)
    if magic not in _LOG_MAGIC or not 512 <= size <= 65536 or size & (size - 1):
        return
    order = "<>"[magic & 1]
    sums = _summed(log[:24], (0, 0), order)
    if sums != struct.unpack_from(">2I", log, 24):
        return
    waiting: list[tuple[int, bytes]] = []
    for at in range(_LOG_HEADER, len(log) - _FRAME_HEADER - size + 1, _FRAME_HEADER + size):
        number, commit, one, two, *expected = struct.unpack_from(">6I", log, at)
        page = log[at + _FRAME_HEADER : at + _FRAME_HEADER + size]
        sums = _summed(page, _summed(log[at : at + 8], sums, order), order)
        if (one, two) != (salt, pepper) or sums != tuple(expected) or not number:
            return
        waiting.append((number, page))
        if commit:
            yield from waiting
            waiting.clear()


def _summed(data: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    one, two = sums
    for first, second in struct.iter_unpack(f"{order}2I", data):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two
