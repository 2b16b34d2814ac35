"""Results are delivered whole, once, and recorded."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kiwinb.checkpoints.checkpoint import DamagedCheckpointError
from kiwinb.description.model import BuildType, ImageDescription, Preferences
from kiwinb.errors import HostError, ImageError, SpaceError
from kiwinb.images.kind import ResultFile
from kiwinb.results.deliver import StepFiles, deliver
from kiwinb.results.record import RECORD, BuildResult, list_results
from kiwinb.sandbox.holes import copy_file

IMAGE = ImageDescription(
    name="test",
    directory=Path("/nowhere"),
    file=Path("/nowhere/config.xml"),
    arch="x86_64",
    type=BuildType("oem"),
    preferences=Preferences(version="1.2.3"),
    profiles=("One", "Two"),
)
DISK = ResultFile("disk_image", "disk", "test.x86_64-1.2.3.raw", compress=True)
PACKAGES = ResultFile("image_packages", "metadata", "test.x86_64-1.2.3.packages", shasum=False)
RESULTS = (DISK, PACKAGES)
CONTENT = b"disk\n" * 1000


def outputs(top: Path, key: str = "k1", content: bytes = CONTENT) -> dict[str, StepFiles]:
    disk, metadata = top / f"disk-{key}", top / "metadata"
    for directory in (disk, metadata):
        directory.mkdir(exist_ok=True)
    (disk / DISK.filename).write_bytes(content)
    (metadata / PACKAGES.filename).write_text("bash|None|5.2|None|amd64|None|None\n")
    return {"disk": StepFiles(key, disk), "metadata": StepFiles("m1", metadata)}


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def _identities(result: BuildResult) -> list[tuple[int, int]]:
    paths = [*result.paths().values(), result.directory / RECORD]
    return [(path.stat().st_ino, path.stat().st_mtime_ns) for path in paths]


def test_files_checksums_and_record(tmp_path: Path) -> None:
    target = tmp_path / "some" / "where"
    result = deliver(IMAGE, RESULTS, outputs(tmp_path), target)
    assert _names(target) == sorted(
        (RECORD, DISK.filename, f"{DISK.filename}.sha256", PACKAGES.filename)
    )
    assert (target / DISK.filename).read_bytes() == CONTENT
    checked = subprocess.run(
        ["sha256sum", "--check", f"{DISK.filename}.sha256"], cwd=target, capture_output=True
    )
    assert checked.returncode == 0
    assert result.path("disk_image") == target / DISK.filename
    assert list_results(target) == result
    with pytest.raises(ImageError, match="no result container"):
        result.path("container")
    data = json.loads((target / RECORD).read_text())
    assert data["disk_image"] == {
        "filename": str(target / DISK.filename),
        "use_for_bundle": True,
        "compress": True,
        "shasum": True,
    }
    assert data["kiwinb"]["image"] == {
        "name": "test",
        "version": "1.2.3",
        "arch": "x86_64",
        "type": "oem",
        "profiles": ["One", "Two"],
        "bundle_format": None,
    }
    assert data["kiwinb"]["files"]["disk_image"]["sha256"] == hashlib.sha256(CONTENT).hexdigest()


def test_a_second_delivery_touches_nothing(tmp_path: Path) -> None:
    files = outputs(tmp_path)
    with (files["disk"].directory / DISK.filename).open("r+b") as disk:
        disk.truncate(1 << 30)
    first = deliver(IMAGE, RESULTS, files, tmp_path / "out")
    before = _identities(first)
    start = time.process_time()
    assert deliver(IMAGE, RESULTS, files, tmp_path / "out") == first
    assert time.process_time() - start < 0.1  # it reads no gigabyte
    assert _identities(first) == before


@pytest.mark.parametrize("change", ["written to", "removed", "replaced", "another key"])
def test_what_differs_is_delivered_again(tmp_path: Path, change: str) -> None:
    target = tmp_path / "out"
    disk = deliver(IMAGE, RESULTS, outputs(tmp_path), target).path("disk_image")
    packages = (target / PACKAGES.filename).stat()
    files, content = outputs(tmp_path), CONTENT
    if change == "written to":
        disk.write_bytes(CONTENT.upper())
    elif change == "removed":
        disk.unlink()
    elif change == "replaced":
        times = disk.stat()
        (target / "new").write_bytes(CONTENT.upper())
        os.utime(target / "new", ns=(times.st_atime_ns, times.st_mtime_ns))
        (target / "new").replace(disk)
    else:
        content = b"other"
        files = outputs(tmp_path, "k2", content)
    result = deliver(IMAGE, RESULTS, files, target)
    assert disk.read_bytes() == content
    assert result.files[0].sha256 == hashlib.sha256(content).hexdigest()
    assert (target / f"{DISK.filename}.sha256").read_text().startswith(result.files[0].sha256)
    assert (target / PACKAGES.filename).stat() == packages


def test_no_record_claims_a_file_that_was_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    deliver(IMAGE, RESULTS, outputs(tmp_path), target)
    placed: list[tuple[str, bool]] = []
    replace_ = Path.replace

    def note(part: Path, final: Path) -> Path:
        placed.append((final.name, (target / RECORD).exists()))
        return replace_(part, final)

    monkeypatch.setattr(Path, "replace", note)
    deliver(IMAGE, RESULTS, outputs(tmp_path, "k2", b"other"), target)
    assert placed[-1] == (RECORD, False)
    assert (DISK.filename, False) in placed[:-1]
    assert list_results(target).files[0].sha256 == hashlib.sha256(b"other").hexdigest()


def test_all_files_are_on_the_disk_before_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    synced: list[Path] = []
    monkeypatch.setattr("kiwinb.results.transaction.sync", synced.append)
    deliver(IMAGE, RESULTS, outputs(tmp_path), target)
    names = [path.name for path in synced]
    assert names[-1] == target.name
    assert {f".{name}.part" for name in _names(target)} == {*names[:-1]}
    synced.clear()
    deliver(IMAGE, RESULTS, outputs(tmp_path), target)
    assert synced == []


def test_checksums_come_from_the_steps(tmp_path: Path) -> None:
    files = outputs(tmp_path)
    known = hashlib.sha256(CONTENT).hexdigest()
    files["disk"] = StepFiles("k1", files["disk"].directory, {DISK.filename: known})
    result = deliver(IMAGE, RESULTS, files, tmp_path / "out")
    assert [file.sha256 for file in result.files] == [
        known,
        hashlib.sha256((files["metadata"].directory / PACKAGES.filename).read_bytes()).hexdigest(),
    ]
    source = files["disk"].directory / DISK.filename
    assert result.path("disk_image").stat().st_ino != source.stat().st_ino


def test_a_lost_checksum_comes_back(tmp_path: Path) -> None:
    deliver(IMAGE, RESULTS, outputs(tmp_path), tmp_path / "out")
    checksum = tmp_path / "out" / f"{DISK.filename}.sha256"
    checksum.unlink()
    deliver(IMAGE, RESULTS, outputs(tmp_path), tmp_path / "out")
    assert checksum.is_file()


def test_a_missing_file_leaves_the_old_delivery(tmp_path: Path) -> None:
    target = tmp_path / "out"
    old = deliver(IMAGE, RESULTS, outputs(tmp_path), target)
    files = outputs(tmp_path, "k2", b"new")
    (files["metadata"].directory / PACKAGES.filename).unlink()
    files["metadata"] = StepFiles("m2", files["metadata"].directory)
    with pytest.raises(ImageError, match=r"step metadata did not write test.*\.packages"):
        deliver(IMAGE, RESULTS, files, target)
    assert list_results(target) == old
    assert (target / DISK.filename).read_bytes() == CONTENT
    assert not [name for name in _names(target) if name.endswith(".part")]


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / f".{DISK.filename}.part").write_text("half")
    deliver(IMAGE, RESULTS, outputs(tmp_path), target)
    assert not [name for name in _names(target) if name.endswith(".part")]


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    directory = tmp_path / "full"
    directory.mkdir()
    mount: list[str | Path] = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", directory]
    subprocess.run(mount, check=True)
    yield directory
    subprocess.run(["umount", directory], check=True)


@pytest.mark.account("root")
def test_a_full_directory(full: Path, tmp_path: Path) -> None:
    target = full / "out"
    message = rf"directory {target} \(.* free\): .*No space left on device.*\n  Free space there"
    with pytest.raises(SpaceError, match=message):
        deliver(IMAGE, RESULTS, outputs(tmp_path, content=os.urandom(1 << 20)), target)
    assert _names(target) == []


def test_a_target_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(HostError, match="cannot write to the directory"):
        deliver(IMAGE, RESULTS, outputs(tmp_path), tmp_path / "out")


def test_a_target_that_may_not_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"cannot write to the directory /proc/1/out"):
        deliver(IMAGE, RESULTS, outputs(tmp_path), Path("/proc/1/out"))


def test_holes_stay_holes(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        file.seek(64 << 20)
        file.write(b"x" * 5000)
        file.truncate(256 << 20)
    copy_file(source, target)
    assert target.stat().st_size == 256 << 20
    assert target.stat().st_blocks * 512 < 1 << 20
    assert subprocess.run(["cmp", source, target]).returncode == 0


def test_nothing_to_list(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"has no kiwi\.result\.json"):
        list_results(tmp_path)
    (tmp_path / "kiwi.result").write_bytes(pickle.dumps({}))
    with pytest.raises(ImageError, match=r"has no kiwi\.result\.json"):
        list_results(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"kiwinb": 1}', '{"kiwinb": {"format": 1}}', '{"kiwinb": {"format": 9}}'],
)
def test_a_record_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(ImageError, match="Build the image again"):
        list_results(tmp_path)


def test_paths_are_absolute_and_the_directory_may_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    deliver(IMAGE, RESULTS, outputs(tmp_path), Path("a/../out"))
    data = json.loads((tmp_path / "out" / RECORD).read_text())
    assert data["disk_image"]["filename"] == str(tmp_path / "out" / DISK.filename)
    (tmp_path / "out").rename(tmp_path / "moved")
    moved = list_results(tmp_path / "moved")
    assert moved.path("disk_image") == tmp_path / "moved" / DISK.filename


def test_the_bundle_format_is_an_entry(tmp_path: Path) -> None:
    image = replace(IMAGE, type=replace(IMAGE.type, bundle_format="%N-%v"))
    result = deliver(image, RESULTS, outputs(tmp_path), tmp_path / "out")
    data = json.loads((tmp_path / "out" / RECORD).read_text())
    tags = {"N": "test", "P": "One_Two", "A": "x86_64", "I": "", "T": "oem"}
    tags |= {"M": "1", "m": "2", "p": "3", "v": "1.2.3"}
    assert data["bundle_format"] == {"pattern": "%N-%v", "tags": tags}
    assert list_results(tmp_path / "out") == result


@pytest.mark.parametrize("name", ["", "/", "..", "../.."])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    file = deliver(IMAGE, RESULTS, outputs(tmp_path), tmp_path / "out").path("disk_image")
    record = tmp_path / "out" / RECORD
    record.write_text(record.read_text().replace(f'"{file}"', f'"{name}"'))
    with pytest.raises(ImageError, match="not a file name"):
        list_results(tmp_path / "out")


def test_a_damaged_result_of_an_earlier_build_is_not_delivered(tmp_path: Path) -> None:
    files = outputs(tmp_path)
    known = {DISK.filename: hashlib.sha256(b"what its step wrote").hexdigest()}
    files["disk"] = replace(files["disk"], digests=known, is_new=False)
    with pytest.raises(DamagedCheckpointError, match="k1 of the step disk is damaged") as caught:
        deliver(IMAGE, RESULTS, files, tmp_path / "out")
    assert caught.value.key == "k1"
    assert _names(tmp_path / "out") == []
