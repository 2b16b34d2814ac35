"""Root and rootless builds give equal trees and images, of each kind."""

from __future__ import annotations

import pytest
from small_build import PROGRAM
from store_program import accounts

from kiwinb.images import IMAGE_KINDS
from kiwinb.packages import MANAGERS

pytestmark = pytest.mark.build


@pytest.mark.account("both")
@pytest.mark.needs("mksquashfs", "mkfs.erofs")
@pytest.mark.parametrize("manager", MANAGERS)
@pytest.mark.proves("package manager", "*")
@pytest.mark.proves("image kind", "*")
def test_root_and_rootless_builds_are_equal(manager: str) -> None:
    found = []
    for account in accounts():
        with account.directory() as directory:
            account.run(PROGRAM, "write", str(directory), ",".join(IMAGE_KINDS), manager)
            lines = account.run(PROGRAM, "create", str(directory), timeout=1200).splitlines()
            found.append({kind: digest for digest, kind in (line.split() for line in lines)})
    assert found[0].keys() == {"tree", *IMAGE_KINDS}
    assert found[0] == found[1]
