"""The table of attacks is whole, and the document about it is up to date."""

from __future__ import annotations

from attacks import BY_NAME, DOCUMENT, MISSING, TABLE, markdown
from payloads import ATTACKS


def test_each_attack_has_one_row() -> None:
    assert sorted(row.name for row in TABLE) == sorted(ATTACKS)


def test_missing_protections_name_rows() -> None:
    for missing in MISSING.values():
        assert missing.rows or missing.as_root
        assert {*missing.rows, *missing.as_root} <= {*BY_NAME}
        assert {*missing.also} <= {*MISSING}


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == markdown(), "python tests/attack/attacks.py writes it anew"
