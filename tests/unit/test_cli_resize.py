"""``image resize``: the disk, its partition table, its other formats and the record."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from descriptions import document

from kiwinb.description.select import select
from kiwinb.errors import ImageError
from kiwinb.images.kind import ResultFile
from kiwinb.results.deliver import StepFiles, deliver
from kiwinb.results.record import list_results
from kiwinb.results.resize import resize

MIB = 2**20
pytestmark = pytest.mark.needs("sfdisk", "qemu-img")


@pytest.fixture
def delivered(tmp_path: Path) -> Path:
    """A target directory with a disk of 8 MiB in two formats."""
    step = tmp_path / "step"
    step.mkdir()
    raw, qcow2 = step / "test.raw", step / "test.qcow2"
    with raw.open("wb") as disk:
        disk.truncate(8 * MIB)
    table = b"label: gpt\nstart=2048, size=4096\n"
    subprocess.run(["sfdisk", "--quiet", raw], input=table, check=True)
    convert: list[str | Path] = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, qcow2]
    subprocess.run(convert, check=True)
    (step / "test.packages").write_text("")
    image = select(document(tmp_path))
    results = [
        ResultFile("disk_image", "disk", raw.name),
        ResultFile("disk_format_image", "disk", qcow2.name),
        ResultFile("image_packages", "disk", "test.packages"),
    ]
    target = tmp_path / "out"
    deliver(image, results, {"disk": StepFiles("0" * 64, step)}, target)
    return target


def test_all_formats_grow_and_the_table_moves_along(delivered: Path) -> None:
    before = {file.tag: file for file in list_results(delivered).files}
    result = resize(delivered, 32 * MIB, options=("cluster_size=4096",))
    raw, qcow2 = delivered / "test.raw", delivered / "test.qcow2"
    assert raw.stat().st_size == 32 * MIB
    assert raw.stat().st_blocks * 512 < 4 * MIB
    assert subprocess.run(["sfdisk", "--verify", raw], capture_output=True).returncode == 0
    with raw.open("rb") as disk:
        disk.seek(32 * MIB - 512)
        assert disk.read(8) == b"EFI PART"
    asked: list[str | Path] = ["qemu-img", "info", "--output=json", qcow2]
    info = json.loads(subprocess.run(asked, capture_output=True, check=True).stdout)
    assert (info["virtual-size"], info["cluster-size"]) == (32 * MIB, 4096)
    assert subprocess.run(["qemu-img", "compare", raw, qcow2]).returncode == 0

    assert list_results(delivered) == result
    for file in result.files:
        path = delivered / file.filename
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert (file.size, file.sha256) == (path.stat().st_size, digest)
        assert (delivered / f"{file.filename}.sha256").read_text().startswith(digest)
    after = {file.tag: file for file in result.files}
    assert after["image_packages"] == before["image_packages"]


@pytest.mark.parametrize(
    ("size", "problem"), [(4 * MIB, "cannot become smaller"), (9 * MIB + 1, "whole sectors")]
)
def test_a_size_that_cannot_be_leaves_all_as_it_was(
    delivered: Path, size: int, problem: str
) -> None:
    before = {path.name: path.read_bytes() for path in delivered.iterdir()}
    with pytest.raises(ImageError, match=problem):
        resize(delivered, size)
    assert {path.name: path.read_bytes() for path in delivered.iterdir()} == before


def test_a_build_without_a_disk_cannot_be_resized(tmp_path: Path) -> None:
    step = tmp_path / "step"
    step.mkdir()
    (step / "test.tar.xz").write_text("")
    image = select(document(tmp_path))
    results = [ResultFile("root_archive", "tar", "test.tar.xz")]
    deliver(image, results, {"tar": StepFiles("0" * 64, step)}, tmp_path / "out")
    with pytest.raises(ImageError, match="no disk image"):
        resize(tmp_path / "out", 32 * MIB)
