"""The model of a disk that loses its power (``tests/fault``)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from disk_trace import FLUSH, MARK, WRITE, Trace, Write, pack, pieces, write_image

DATA = (
    pack(WRITE, 0, b"a" * 4096)
    + pack(MARK, 0, b"first")
    + pack(FLUSH)
    + pack(MARK, 0, b"second")
    + pack(FLUSH)
    + pack(WRITE, 4096, b"b" * 10000)
    + pack(WRITE, 0, b"c" * 512)
)


def test_a_trace_is_split_at_flushes() -> None:
    trace = Trace.parse(DATA)
    assert [len(epoch.writes) for epoch in trace.epochs] == [1, 0, 2]
    assert trace.moments == (1, 2)
    assert [trace.said(flush) for flush in range(3)] == [
        ("first",),
        ("first", "second"),
        ("first", "second"),
    ]
    assert [*trace.kept(2)] == [Write(0, b"a" * 4096)]


@pytest.mark.parametrize("left", [1, 5, 600])
def test_half_an_event_is_no_trace(left: int) -> None:
    with pytest.raises(ValueError, match="within an event"):
        Trace.parse(DATA[:-left])


def test_what_is_lost_is_a_part_in_any_order() -> None:
    trace = Trace.parse(DATA)
    whole = [piece for write in trace.epochs[2].writes for piece in pieces(write)]
    assert [len(piece.data) for piece in whole] == [4096, 4096, 1808, 512]
    found = [trace.lost(2, random.Random(seed)) for seed in range(200)]
    assert all(
        any(piece.offset == item.offset and item.data.startswith(piece.data) for item in whole)
        for pieces_ in found
        for piece in pieces_
    )
    assert {len(pieces_) for pieces_ in found} == {0, 1, 2, 3, 4}
    assert any([p.offset for p in pieces_] == [0, 12288, 8192, 4096] for pieces_ in found)
    assert any(len(p.data) % 4096 and p.offset == 4096 for pieces_ in found for p in pieces_)
    assert trace.lost(1, random.Random(1)) == ()


def test_an_image_has_the_last_write(tmp_path: Path) -> None:
    write_image(tmp_path / "image", 8192, [Write(0, b"aaaa"), Write(2, b"bb"), Write(4096, b"c")])
    found = (tmp_path / "image").read_bytes()
    assert found == b"aabb".ljust(4096, b"\0") + b"c".ljust(4096, b"\0")
