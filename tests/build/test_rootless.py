"""Root and rootless builds give equal trees and images, of each kind."""

from __future__ import annotations

import pytest
from small_build import PROGRAM, SYSTEMS
from store_program import accounts

from kiwinb.images import IMAGE_KINDS
from kiwinb.packages import MANAGERS

pytestmark = pytest.mark.build


@pytest.mark.account("both")
@pytest.mark.needs("mksquashfs", "mkfs.erofs")
@pytest.mark.parametrize(
    ("manager", "disks"),  # apart, since a tree with a kernel takes others long
    [
        *((manager, False) for manager in MANAGERS),
        *((manager, True) for manager in MANAGERS if SYSTEMS[manager].boots),
    ],
)
@pytest.mark.proves("package manager", "*")
@pytest.mark.proves("image kind", "*")
def test_root_and_rootless_builds_are_equal(manager: str, disks: bool) -> None:
    kinds = IMAGE_KINDS.where(lambda kind: (kind.form == "disk") == disks)
    found = []
    for account in accounts():
        with account.directory() as directory:
            account.run(PROGRAM, "write", str(directory), ",".join(kinds), manager)
            lines = account.run(PROGRAM, "create", str(directory), timeout=1200).splitlines()
            found.append({kind: digest for digest, kind in (line.split() for line in lines)})
    assert found[0].keys() == {"tree", *kinds}
    assert found[0] == found[1]
