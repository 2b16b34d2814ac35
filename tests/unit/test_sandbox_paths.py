from __future__ import annotations

from pathlib import Path

import pytest

from kiwinb.errors import KiwinbError
from kiwinb.sandbox.paths import resolve_in


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "usr" / "bin").mkdir(parents=True)
    (tree / "etc").mkdir()
    (tree / "bin").symlink_to("usr/bin")
    (tree / "absolute").symlink_to("/etc")
    (tree / "escape").symlink_to("../../../../etc")
    (tree / "usr" / "up").symlink_to("../../..")
    (tree / "etc" / "resolv.conf").symlink_to("/run/systemd/resolve/stub-resolv.conf")
    (tree / "loop").symlink_to("loop2")
    (tree / "loop2").symlink_to("/loop")
    (tree / "chain").symlink_to("absolute")
    return tree


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/usr/bin/env", "usr/bin/env"),
        ("usr/bin/env", "usr/bin/env"),
        ("/bin/env", "usr/bin/env"),
        ("/absolute/passwd", "etc/passwd"),
        ("/escape/passwd", "etc/passwd"),
        ("/usr/up/etc/passwd", "etc/passwd"),
        ("/../../etc/./passwd", "etc/passwd"),
        ("/etc/resolv.conf", "run/systemd/resolve/stub-resolv.conf"),
        ("/not/there/../yet", "not/yet"),
        ("/chain", "etc"),
        ("/", ""),
    ],
)
def test_stays_inside(root: Path, path: str, expected: str) -> None:
    assert resolve_in(root, path) == root / expected


def test_last_link_can_be_kept(root: Path) -> None:
    assert resolve_in(root, "/bin/../../absolute", follow_last=False) == root / "absolute"


def test_loop_is_an_error(root: Path) -> None:
    with pytest.raises(KiwinbError, match="too many symbolic links"):
        resolve_in(root, "/loop/file")
