"""What tools say reaches the error, also if not one byte can be written to any disk."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from descriptions import document
from made_filesystem import make
from test_results_deliver import DISK, IMAGE, outputs

from kiwinb.checkpoints.space import build_places, explained_space
from kiwinb.description.select import select
from kiwinb.errors import CommandError, DescriptionError, HostError, ImageError, SpaceError
from kiwinb.images.compress import xz_writer
from kiwinb.images.container.base import import_base
from kiwinb.images.formats import FORMATS
from kiwinb.images.kind import ResultFile
from kiwinb.inspect.formats import open_tree
from kiwinb.prepare.lay_over import lay_archive
from kiwinb.results.bundle import bundle
from kiwinb.results.deliver import StepFiles, deliver
from kiwinb.results.resize import resize
from kiwinb.sandbox.decompress import open_unpacked
from kiwinb.sandbox.streams import reading_through, writing_through
from kiwinb.sandbox.worker import Report, call
from kiwinb.storage.filesystem import FILESYSTEMS

MIB = 1 << 20
FULL = "No space left on device"


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file system without a free byte, which has the temporary directory and the cache."""
    directory = tmp_path / "full"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", directory], check=True)
    for name in ("tmp", "cache/unpacked"):
        (directory / name).mkdir(parents=True)
    _fill(directory)
    monkeypatch.setenv("TMPDIR", str(directory / "tmp"))
    monkeypatch.setenv("KIWINB_CACHE", str(directory / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(directory / "tmp"))
    yield directory
    subprocess.run(["umount", directory], check=True)


def _fill(directory: Path) -> None:
    with (directory / "filling").open("ab", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(bytes(4096))


needs_mount = pytest.mark.account("root")


@needs_mount
def test_xz(full: Path) -> None:
    with pytest.raises(CommandError, match=f"xz: .*{FULL}"), xz_writer(full / "it.xz") as stream:
        stream.write(os.urandom(MIB))
    assert not (full / "it.xz").exists()
    places = build_places(full / "store", full / "cache")
    said = f"{full}/store.*xz: .*{FULL}"
    with (
        pytest.raises(SpaceError, match=said),
        explained_space(places),
        xz_writer(full / "it.xz") as stream,
    ):
        stream.write(b"x")


def _damaged(path: Path) -> Path:
    """A tar archive, compressed with zstd, that ends early."""
    plain = path.with_suffix(".tar")
    with tarfile.open(plain, "w") as archive:
        member = tarfile.TarInfo("file")
        archive.addfile(member)
        member = tarfile.TarInfo("noise")
        member.size = MIB
        archive.addfile(member, io.BytesIO(os.urandom(MIB)))
    subprocess.run(["zstd", "-q", plain, "-o", path], check=True)
    os.truncate(path, path.stat().st_size // 2)
    return path


@needs_mount
@pytest.mark.needs("zstd")
def test_zstd(tmp_path: Path, full: Path) -> None:
    damaged = _damaged(tmp_path / "it.zst")
    with (
        pytest.raises(CommandError, match=r": premature end"),
        open_unpacked(damaged) as stream,
    ):
        stream.read()
    with pytest.raises(DescriptionError, match=r": premature end"):
        lay_archive(tmp_path, damaged)
    (tmp_path / "out").mkdir()
    with pytest.raises(ImageError, match=r"it\.zst is not an archive(.|\n)*premature end"):
        import_base(damaged, None, "x86_64", tmp_path / "out")


def _die(words: str, _report: Report) -> None:
    os.write(2, words.encode())
    os._exit(9)


@needs_mount
def test_a_worker_that_dies(full: Path) -> None:
    with pytest.raises(HostError, match="its last words"):
        call(_die, "its last words")


@needs_mount
def test_a_process_that_forks_workers_and_dies(
    full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "broken" / "kiwinb"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('its last words')")
    monkeypatch.syspath_prepend(str(package.parent))
    with pytest.raises(HostError, match="its last words"):
        call(_die, "")


@needs_mount
@pytest.mark.parametrize("kind", [name for name in FILESYSTEMS if name != "swap"])
def test_file_systems(tmp_path: Path, full: Path, kind: str) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "noise").write_bytes(os.urandom(2 * MIB))
    places = build_places(full / "store", full / "cache")
    said = "failed whilst writing" if kind.startswith("fat") else FULL
    with pytest.raises(SpaceError, match=f"{full}/store(.|\n)*{said}"), explained_space(places):
        make(tree, full / "image", kind, label=None)


@needs_mount
@pytest.mark.needs("qemu-img")
@pytest.mark.parametrize("name", FORMATS)
def test_disk_formats(tmp_path: Path, full: Path, name: str) -> None:
    raw = tmp_path / "raw"
    raw.write_bytes(os.urandom(MIB))
    places = build_places(full / "store", full / "cache")
    with pytest.raises(SpaceError, match=f"{full}/store"), explained_space(places):
        FORMATS[name].remake(raw, full / "disk", (), None)


@needs_mount
@pytest.mark.needs("sfdisk", "qemu-img")
def test_bundles(tmp_path: Path, full: Path) -> None:
    deliver(IMAGE, (replace(DISK, compress=True),), outputs(tmp_path), tmp_path / "out")
    for compress in (True, False):
        with pytest.raises(SpaceError, match=f"the directory {full}/bundle .*{FULL}"):
            bundle(tmp_path / "out", full / "bundle", "1", compress=compress)


@needs_mount
@pytest.mark.needs("sfdisk", "qemu-img")
def test_resized_disks(tmp_path: Path, full: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=8m", full], check=True)
    step = tmp_path / "step"
    step.mkdir()
    (step / "test.raw").write_bytes(os.urandom(MIB))
    FORMATS["qcow2"].remake(step / "test.raw", step / "test.qcow2", (), None)
    results = [
        ResultFile("disk_image", "disk", "test.raw"),
        ResultFile("disk_format_image", "disk", "test.qcow2"),
    ]
    made = {"disk": StepFiles("0" * 64, step)}
    deliver(select(document(tmp_path)), results, made, full / "out")
    _fill(full)
    os.truncate(full / "filling", (full / "filling").stat().st_size - MIB - 8192)
    with pytest.raises(SpaceError, match=f"the directory {full}/out .*qemu-img"):
        resize(full / "out", 2 * MIB)


@needs_mount
@pytest.mark.needs("qemu-img", "mkfs.erofs", "fsck.erofs")
@pytest.mark.parametrize("kind", ["tar.xz", "tar.zst", "qcow2", "erofs"])
def test_images_in_the_inspector(tmp_path: Path, full: Path, kind: str) -> None:
    file = tmp_path / f"it.{kind}"
    noise = tmp_path / "noise"
    noise.mkdir()
    (noise / "file").write_bytes(os.urandom(MIB) + bytes(MIB))
    commands: dict[str, list[str | Path]] = {
        "qcow2": ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", noise / "file", file],
        "erofs": ["mkfs.erofs", "--quiet", "-zlz4", file, noise],
    }
    make_it = commands.get(kind, ["tar", "-C", noise, "--auto-compress", "-cf", file, "file"])
    subprocess.run(make_it, check=True, capture_output=True)
    said = f"the cache has 0 B left|the download cache {full}/cache .*{FULL}"
    with pytest.raises(SpaceError, match=said), open_tree(file) as tree:
        tree.read("/file")


def test_streams_through_tools(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as target, writing_through(["cat"], target) as stream:
        stream.write(b"through")
    assert (tmp_path / "out").read_bytes() == b"through"
    with reading_through(["cat", str(tmp_path / "out")]) as output:
        assert output.read(3) == b"thr"


@pytest.mark.parametrize("lines", [1, 100_000])
def test_the_end_of_what_a_tool_says(lines: int) -> None:
    words = f"seq {lines} >&2; echo its last words >&2; exit 3"
    with (
        pytest.raises(CommandError, match="its last words") as caught,
        reading_through(["sh", "-c", words]) as stream,
    ):
        stream.read()
    assert caught.value.status == 3
    assert len(str(caught.value)) < 5000


def test_whose_error_it_is() -> None:
    with pytest.raises(ZeroDivisionError), reading_through(["yes"]) as stream:
        stream.read(1)
        raise ZeroDivisionError
    with (
        pytest.raises(CommandError, match="words"),
        reading_through(["sh", "-c", "echo words >&2; exit 1"]) as stream,
    ):
        stream.read()
        raise ZeroDivisionError
