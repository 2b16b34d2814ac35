"""A result that is reused for another tree is what running the step there would have made."""

from __future__ import annotations

import json

import pytest
from store_program import accounts

pytestmark = [pytest.mark.build, pytest.mark.needs("busybox")]

_EDIT = """
import sys
from pathlib import Path
from reuse_edits import main
main(Path(sys.argv[1]), int(sys.argv[2]))
"""
EDITS = 200


@pytest.mark.account("both")
@pytest.mark.parametrize("rootless", [False, True], ids=["root", "rootless"])
def test_random_edits(rootless: bool) -> None:
    (account,) = [item for item in accounts() if item.rootless == rootless]
    with account.directory() as directory:
        found = json.loads(account.run(_EDIT, str(directory / "store"), str(EDITS)))
    assert found["wrong"] == []
    assert sum(found["outcomes"].values()) == EDITS + 1
    assert min(found["outcomes"]["reused"], found["outcomes"]["done"]) > EDITS / 5
