"""Root and rootless builds give equal trees and images."""

from __future__ import annotations

import pytest
from small_build import PROGRAM
from store_program import accounts

pytestmark = pytest.mark.build


@pytest.mark.account("both")
def test_root_and_rootless_builds_are_equal() -> None:
    found = []
    for account in accounts():
        with account.directory() as directory:
            account.run(PROGRAM, "write", str(directory), "oem")
            found.append(account.run(PROGRAM, "create", str(directory)))
    assert found[0] == found[1]
