"""A result that is reused for another tree is what running the step there would have made."""

from __future__ import annotations

import json

import pytest
from store_program import accounts

pytestmark = [
    pytest.mark.needs("busybox"),
    pytest.mark.account("both"),
    pytest.mark.parametrize("rootless", [False, True], ids=["root", "rootless"]),
]

_EDIT = """
import sys
from pathlib import Path
from reuse_edits import main
main(Path(sys.argv[1]), range(int(sys.argv[2]), int(sys.argv[3])))
"""


@pytest.mark.build
def test_random_edits(rootless: bool) -> None:
    _edit(rootless, 1, 201)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_random_edits(rootless: bool) -> None:
    _edit(rootless, 201, 801)


def _edit(rootless: bool, first: int, end: int) -> None:
    """Make the edits of these seeds, one after another."""
    (account,) = [item for item in accounts() if item.rootless == rootless]
    with account.directory() as directory:
        arguments = (str(directory / "store"), str(first), str(end))
        found = json.loads(account.run(_EDIT, *arguments, timeout=3600))
    print(found["outcomes"])
    assert found["wrong"] == []
    count = end - first
    assert sum(found["outcomes"].values()) == count + 1  # and the tree without an edit
    assert min(found["outcomes"]["reused"], found["outcomes"]["done"]) > count / 5
