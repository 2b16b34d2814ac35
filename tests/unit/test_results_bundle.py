"""Bundles of results."""

from __future__ import annotations

import lzma
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from test_results_deliver import CONTENT, DISK, IMAGE, RESULTS, outputs

from kiwinb.errors import ImageError
from kiwinb.images.kind import ResultFile
from kiwinb.results.bundle import bundle
from kiwinb.results.deliver import deliver


@pytest.fixture
def target(tmp_path: Path) -> Path:
    deliver(IMAGE, RESULTS, outputs(tmp_path), tmp_path / "out")
    return tmp_path / "out"


def test_names_checksums_and_compression(target: Path, tmp_path: Path) -> None:
    files = bundle(target, tmp_path / "bundle", "Build7")
    assert [path.name for path in files] == [
        "test.x86_64-1.2.3-Build7.raw.xz",
        "test.x86_64-1.2.3-Build7.raw.xz.sha256",
        "test.x86_64-1.2.3-Build7.packages",
    ]
    assert sorted(files) == sorted((tmp_path / "bundle").iterdir())
    assert lzma.decompress(files[0].read_bytes()) == CONTENT
    argv: list[str | Path] = ["sha256sum", "--check", "--strict", files[1]]
    assert subprocess.run(argv, cwd=tmp_path / "bundle", capture_output=True).returncode == 0
    before = [path.read_bytes() for path in files]
    assert [path.read_bytes() for path in bundle(target, tmp_path / "bundle", "Build7")] == before


def test_without_compression(target: Path, tmp_path: Path) -> None:
    files = bundle(target, tmp_path / "bundle", "1", compress=False)
    assert files[0].name == "test.x86_64-1.2.3-1.raw"
    assert files[0].read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("%N-%v-%I", "test-1.2.3-7.raw"),
        ("%P_%A_%T", "One_Two_x86_64_oem.raw"),
        ("v%M+%m+%p", "v1+2+3.raw"),
    ],
)
def test_formats(target: Path, tmp_path: Path, pattern: str, name: str) -> None:
    files = bundle(target, tmp_path / "b", "7", compress=False, bundle_format=pattern)
    assert files[0].name == name


def test_the_format_of_the_description(tmp_path: Path) -> None:
    image = replace(IMAGE, type=replace(IMAGE.type, bundle_format="%N_%I"))
    deliver(image, RESULTS, outputs(tmp_path), tmp_path / "out")
    given = bundle(tmp_path / "out", tmp_path / "given", "7", bundle_format="%I")
    assert bundle(tmp_path / "out", tmp_path / "b", "7")[0].name == "test_7.raw.xz"
    assert given[0].name == "7.raw.xz"


@pytest.mark.parametrize("pattern", ["%N-%x", "%N%", "../%N", ".%N"])
def test_wrong_formats(target: Path, tmp_path: Path, pattern: str) -> None:
    with pytest.raises(ImageError, match="the bundle format"):
        bundle(target, tmp_path / "b", "7", bundle_format=pattern)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("identifier", ["", "a/b"])
def test_wrong_identifiers(target: Path, tmp_path: Path, identifier: str) -> None:
    with pytest.raises(ImageError, match="not a bundle identifier"):
        bundle(target, tmp_path / "b", identifier)


def test_rpm_is_not_available(target: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be packaged as RPM"):
        bundle(target, tmp_path / "b", "7", package_as_rpm=True)


def test_a_result_that_is_gone(target: Path, tmp_path: Path) -> None:
    (target / DISK.filename).unlink()
    with pytest.raises(ImageError, match="no longer in"):
        bundle(target, tmp_path / "b", "7")


def test_only_what_is_for_bundles(tmp_path: Path) -> None:
    results = (replace(DISK, use_for_bundle=False), RESULTS[1])
    deliver(IMAGE, results, outputs(tmp_path), tmp_path / "out")
    (file,) = bundle(tmp_path / "out", tmp_path / "b", "7")
    assert file.suffix == ".packages"


def test_two_files_of_one_name(tmp_path: Path) -> None:
    files = outputs(tmp_path)
    (files["metadata"].directory / "test.x86_64-1.2.3.raw.xz").write_text("x")
    results = (DISK, ResultFile("other", "metadata", "test.x86_64-1.2.3.raw.xz"))
    deliver(IMAGE, results, files, tmp_path / "out")
    with pytest.raises(ImageError, match="two files of the bundle"):
        bundle(tmp_path / "out", tmp_path / "b", "7")
    assert list((tmp_path / "b").iterdir()) == []


def test_zsync_is_for_what_has_a_checksum(tmp_path: Path) -> None:
    deliver(IMAGE, (replace(DISK, compress=False), RESULTS[1]), outputs(tmp_path), tmp_path / "out")
    files = bundle(tmp_path / "out", tmp_path / "b", "7", zsync_source="https://download.example")
    assert [path.name for path in files if path.suffix == ".zsync"] == [
        "test.x86_64-1.2.3-7.raw.zsync"
    ]


def test_zsync(target: Path, tmp_path: Path) -> None:
    source = "https://download.example/images/"
    files = bundle(target, tmp_path / "b", "7", zsync_source=source)
    (control,) = (path for path in files if path.suffix == ".zsync")
    head = control.read_bytes().partition(b"\n\n")[0].decode()
    assert "Filename: test.x86_64-1.2.3-7.raw.xz\n" in head
    assert "URL: https://download.example/images/test.x86_64-1.2.3-7.raw.xz\n" in head
