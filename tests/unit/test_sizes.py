"""Sizes as users write them."""

from __future__ import annotations

import pytest

from kiwinb.sizes import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("512B", 512),
        ("40G", 40 << 30),
        ("40g", 40 << 30),
        (" 500m ", 500 << 20),
        ("1 MiB", 1 << 20),
        ("1 mb", 1 << 20),
        ("3kib", 3 << 10),
        ("2T", 2 << 40),
        ("", None),
        ("G", None),
        ("-1G", None),
        ("1.5G", None),
        ("1 P", None),
        ("1i", None),
        ("٣", None),
        ("20 gigabytes", None),
    ],
)
def test_parse(text: str, size: int | None) -> None:
    assert parse_size(text) == size
