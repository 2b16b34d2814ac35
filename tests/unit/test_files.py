"""Files are written completely or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from kiwinb.files import read_json, read_regular, replace_file


def test_a_file_is_made_and_replaced(tmp_path: Path) -> None:
    file = tmp_path / "file"
    replace_file(file, "grün\n")
    assert file.read_bytes() == b"gr\xc3\xbcn\n"
    before = file.stat().st_ino
    replace_file(file, b"\0\1")
    assert file.read_bytes() == b"\0\1"
    assert file.stat().st_ino != before
    assert [*tmp_path.iterdir()] == [file]


def test_a_durable_file_is_synced_before_it_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    synced: list[tuple[Path, bool]] = []
    monkeypatch.setattr("kiwinb.files.sync", lambda path: synced.append((path, file.exists())))
    replace_file(file, b"", durable=True)
    assert [(path.parent, seen) for path, seen in synced] == [
        (tmp_path, False),
        (tmp_path.parent, True),
    ]
    replace_file(file, b"")
    assert len(synced) == 2


def test_a_new_file_has_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        replace_file(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as stream:
            stream.write(data[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(file, b"new")
    assert file.read_text() == "old"
    assert [*tmp_path.iterdir()] == [file]


def test_text_that_is_not_utf_8_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        replace_file(file, "\udcff")
    assert file.read_text() == "old"


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    file = tmp_path / "file"
    replace_file(file, b"12345", mode=0o600)
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_regular(file, 5) == b"12345"
    with pytest.raises(OSError, match="too large"):
        read_regular(file, 4)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(file)
    for name in ("pipe", "link", "", "missing"):
        with pytest.raises(OSError, match=r"regular|symbolic|directory"):
            read_regular(tmp_path / name)


def test_json_that_is_nested_too_deeply(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="too deeply"):
        read_json(file)
