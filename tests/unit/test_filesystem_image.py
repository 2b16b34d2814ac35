"""Images that are a file system and nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from descriptions import document
from odd_tree import EPOCH, make_tree, run_action

from kiwinb.description.select import select as choose
from kiwinb.description.sources import Sources
from kiwinb.errors import ImageError
from kiwinb.images import IMAGE_KINDS
from kiwinb.images.inputs import BuildInputs


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("image") / "tree")


def make(
    tree: Path, directory: Path, kind: str, attributes: str = "", inside: str = "", out: str = "out"
) -> Path:
    preferences = (
        "<preferences><version>1.0.0</version><packagemanager>apt</packagemanager>"
        f'<type image="{kind}" {attributes}>{inside}</type></preferences>'
    )
    plan = IMAGE_KINDS[kind].plan(
        choose(document(directory, preferences=preferences), arch="x86_64"),
        BuildInputs(Sources(), EPOCH),
        "tree",
    )
    (step,), (result,) = plan.steps, plan.results
    assert (result.tag, result.filename) == ("filesystem_image", f"test.x86_64-1.0.0.{kind}")
    return run_action(step.action, tree, directory / out) / result.filename


@pytest.mark.parametrize(
    ("kind", "argv"),
    [
        ("ext2", ["e2fsck", "-f", "-n"]),
        ("ext3", ["e2fsck", "-f", "-n"]),
        ("ext4", ["e2fsck", "-f", "-n"]),
        ("xfs", ["xfs_repair", "-n", "-f"]),
        ("btrfs", ["btrfs", "check"]),
    ],
)
@pytest.mark.proves("file system", "ext2 ext3 ext4 xfs btrfs")
@pytest.mark.proves("image kind", "ext2 ext3 ext4 xfs btrfs")
def test_file_systems(tree: Path, tmp_path: Path, kind: str, argv: list[str]) -> None:
    image = make(tree, tmp_path, kind)
    subprocess.run([*argv, image], check=True, capture_output=True)
    found = subprocess.run(
        ["blkid", "--probe", "--output", "export", image], capture_output=True, text=True
    ).stdout.splitlines()
    assert {"LABEL=ROOT", f"TYPE={kind}"} <= set(found)


@pytest.mark.proves("file system", "ext4 btrfs", "size")
@pytest.mark.proves("image kind", "ext4 btrfs", "size")
def test_a_size_is_kept(tree: Path, tmp_path: Path) -> None:
    image = make(tree, tmp_path, "ext4", inside='<size unit="M">77</size>')
    assert image.stat().st_size == 77 << 20
    with pytest.raises(ImageError, match="the content of the image does not fit into 5 MiB"):
        make(tree, tmp_path, "btrfs", inside='<size unit="M">5</size>', out="small")
