"""Holes in files stay holes on every way from an overlay or archive into an image."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from descriptions import document
from made_filesystem import make
from odd_tree import EPOCH, run_action
from store_actions import Shell
from test_container_base import Layout

from kiwinb.checkpoints.runner import run_steps
from kiwinb.checkpoints.store import Store
from kiwinb.description.model import Archive, OverlayFile
from kiwinb.description.select import select as choose
from kiwinb.images.container.base import import_base, read_base, unpack_base
from kiwinb.images.container.layers import add_layer
from kiwinb.images.container.oci import GZIP_LAYER_TYPE, MANIFEST_TYPE, REFERENCE
from kiwinb.images.formats import FORMATS
from kiwinb.images.kind import ResultFile
from kiwinb.images.newc import write_cpio
from kiwinb.images.tarball import TarWriter
from kiwinb.images.tbz import PackTarball
from kiwinb.inspect.formats import open_tree
from kiwinb.prepare.lay_over import lay_archive, lay_directory
from kiwinb.prepare.overlay import ImportOverlay, PlaceFiles, UnpackArchives
from kiwinb.results.bundle import bundle
from kiwinb.results.deliver import StepFiles, deliver
from kiwinb.sandbox.worker import Report, call
from kiwinb.steps.keys import Source
from kiwinb.steps.step import DraftStep, HostPaths, seal
from kiwinb.storage.filesystem import FILESYSTEMS
from kiwinb.storage.treewalk import select

MIB = 1 << 20
SIZE = 32 * MIB + 1000
PLACES = (0, 13 * MIB + 5000, 27 * MIB)
MOST = MIB
"""Bytes that the file may take on a disk."""

TARS = {
    "gnu": ("--format=gnu",),
    **{
        f"pax-{version}": ("--format=posix", f"--sparse-version={version}")
        for version in ("0.0", "0.1", "1.0")
    },
}


def write_sparse(path: Path) -> str:
    """Write a file of holes with a few bytes between them; return its SHA-256."""
    with path.open("wb") as file:
        for place in PLACES:
            file.seek(place)
            file.write(b"data" * 100)
        file.truncate(SIZE)
    return digest(path)


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def names(root: Path) -> set[Path]:
    return {path.relative_to(root) for path in root.rglob("*")}


def check(path: Path, expected: str, most: int = MOST) -> None:
    assert path.stat().st_size == SIZE
    assert digest(path) == expected
    assert path.stat().st_blocks * 512 <= most


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "srv").mkdir(parents=True)
    return root


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    directory = tmp_path / "overlay"
    (directory / "srv").mkdir(parents=True)
    write_sparse(directory / "srv/disk")
    return directory


def pack(overlay: Path, archive: Path, *options: str) -> Path:
    argv = ["tar", "--create", "--sparse", "--auto-compress", *options, f"--file={archive}"]
    subprocess.run([*argv, "-C", overlay, "."], check=True)
    assert archive.stat().st_size < MIB
    return archive


@pytest.mark.account("root")
@pytest.mark.parametrize("elsewhere", [False, True])
def test_overlay_directories(tree: Path, overlay: Path, elsewhere: bool) -> None:
    """Also between file systems, where the kernel does not copy by itself."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if elsewhere else None) as directory:
        target = Path(directory)
        lay_directory(target, overlay)
        check(target / "srv/disk", digest(overlay / "srv/disk"))


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.zst"])
@pytest.mark.parametrize("options", TARS.values(), ids=TARS)
@pytest.mark.account("root")
def test_archives(tree: Path, overlay: Path, suffix: str, options: tuple[str, ...]) -> None:
    archive = pack(overlay, overlay.parent / f"root.{suffix}", *options)
    lay_archive(tree, archive)
    check(tree / "srv/disk", digest(overlay / "srv/disk"))


@pytest.mark.account("root")
def test_an_archive_that_records_impossible_holes(tmp_path: Path, tree: Path) -> None:
    member = tarfile.TarInfo("file")
    content = b"1\n0\n1024\n".ljust(512, b"\0") + bytes(1024)
    member.size = len(content)
    member.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "file",
        "GNU.sparse.realsize": "100",
    }
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as file:
        file.addfile(member, io.BytesIO(content))
    with pytest.raises(Exception, match="data beyond its end"):
        lay_archive(tree, archive)


def _place(file: str, _report: Report) -> tuple[int, int, str]:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "tree"
        (root / "srv").mkdir(parents=True)
        action = PlaceFiles(((OverlayFile("disk", "/srv/disk"), Source("", Path(file))),))
        run_action(action, root, Path(directory) / "out")
        status = (root / "srv/disk").stat()
        return status.st_size, status.st_blocks * 512, digest(root / "srv/disk")


def test_single_files(overlay: Path) -> None:
    size, allocated, found = call(_place, str(overlay / "srv/disk"))
    assert (size, found) == (SIZE, digest(overlay / "srv/disk"))
    assert allocated <= MOST


def _layout(directory: Path, layer: bytes) -> Path:
    layout = Layout(directory)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    blob = layout.blob(gzip.compress(layer, 1, mtime=0), mediaType=GZIP_LAYER_TYPE)
    described = layout.blob(config, mediaType="application/vnd.oci.image.config.v1+json")
    manifest = {"schemaVersion": 2, "config": described, "layers": [blob]}
    named = {"annotations": {REFERENCE: "it"}}
    directory = layout.write(layout.blob(manifest, mediaType=MANIFEST_TYPE, **named))
    (directory / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    index = json.loads((directory / "index.json").read_text())
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, **index}))
    return directory


@pytest.mark.account("root")
@pytest.mark.parametrize("options", TARS.values(), ids=TARS)
def test_layers_of_base_containers(
    tmp_path: Path, tree: Path, overlay: Path, options: tuple[str, ...]
) -> None:
    layer = pack(overlay, tmp_path / "layer.tar", *options).read_bytes()
    (tmp_path / "base").mkdir()
    import_base(_layout(tmp_path / "layout", layer), None, "x86_64", tmp_path / "base")
    unpack_base(read_base(tmp_path / "base"), tree, lambda fraction: None)
    check(tree / "srv/disk", digest(overlay / "srv/disk"))


@pytest.mark.parametrize("backend", ["overlay", "copy"])
def test_checkpoints_and_exported_trees(tmp_path: Path, overlay: Path, backend: str) -> None:
    """The second step changes the file in a layer above, or in a copy."""
    again = pack(overlay / "srv", tmp_path / "again.tar.gz")
    steps = seal(
        (
            DraftStep("overlay", "Overlay", ImportOverlay((Source("0" * 64, overlay),))),
            DraftStep(
                "archive",
                "Archive",
                UnpackArchives(((Archive("a", target_dir="/opt"), Source("1" * 64, again)),)),
                base="overlay",
            ),
            DraftStep("mode", "Mode", Shell("chmod 600 srv/disk"), base="archive"),
        )
    )
    store = Store.open(tmp_path / "store", backend="copy" if backend == "copy" else "overlay")
    run_steps(store, steps, HostPaths(cache=tmp_path / "cache"))
    assert sum(item.bytes for item in store.list()) <= 8 * MOST
    store.export_tree(steps[-1].key, tmp_path / "exported")
    expected = digest(overlay / "srv/disk")
    # Where a layer above changes a file, the kernel copies pieces of 1 MiB that have any data.
    check(tmp_path / "exported/srv/disk", expected, most=4 * MOST)
    check(tmp_path / "exported/opt/disk", expected)
    key = store.import_tree(tmp_path / "exported")
    store.export_tree(key, tmp_path / "again")
    check(tmp_path / "again/srv/disk", expected, most=4 * MOST)
    store.remove_exported(tmp_path / "again")
    store.remove_exported(tmp_path / "exported")
    store.remove([step.key for step in steps] + [key])


@pytest.fixture
def tarball(tmp_path: Path, overlay: Path) -> Path:
    os.setxattr(overlay / "srv/disk", "user.note", b"kept")
    (overlay / "srv/almost").write_bytes(bytes(1000))
    long = overlay / "srv" / ("long" * 30)
    with long.open("wb") as file:
        file.truncate(SIZE)  # one hole
    os.link(overlay / "srv/disk", overlay / "srv/same")
    action = PackTarball("it.tar.xz", EPOCH, ())
    return run_action(action, overlay, tmp_path / "tbz") / "it.tar.xz"


UNPACK = {
    "tar": ("tar", "--xattrs", "--xattrs-include=*", "-xpJf"),
    "bsdtar": ("bsdtar", "-xpf"),
    "python": ("python3", "-W", "ignore", "-m", "tarfile", "-e"),
}


@pytest.mark.needs("bsdtar")
@pytest.mark.parametrize("way", UNPACK)
def test_tarballs(tmp_path: Path, overlay: Path, tarball: Path, way: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    done = subprocess.run([*UNPACK[way], tarball], cwd=out, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    check(out / "srv/disk", digest(overlay / "srv/disk"))
    assert (out / "srv/same").samefile(out / "srv/disk")
    if way != "python":
        assert os.getxattr(out / "srv/disk", "user.note") == b"kept"
    long = out / "srv" / ("long" * 30)
    assert (long.stat().st_size, long.stat().st_blocks) == (SIZE, 0)
    assert names(out) == names(overlay)


def test_tarballs_in_the_inspector(overlay: Path, tarball: Path) -> None:
    with open_tree(tarball) as tree:
        found = {row["path"]: row for row in tree.scan().to_dict("records")}
        assert found["/srv/disk"]["size"] == SIZE
        assert found["/srv/disk"]["allocated"] <= MOST
        assert tree.digests(["/srv/disk"]) == open_tree(overlay).digests(["/srv/disk"])


def test_the_bytes_of_tarballs_do_not_depend_on_where_the_host_has_holes(
    tmp_path: Path, overlay: Path, tarball: Path
) -> None:
    with (overlay / "srv/disk").open("r+b") as file:
        file.seek(20 * MIB)
        file.write(bytes(3 * MIB))  # zeros on the disk, in the place of a hole
        os.fsync(file.fileno())
    os.utime(overlay / "srv/disk", (EPOCH + 1, EPOCH + 1))
    action = PackTarball("it.tar.xz", EPOCH, ())
    again = run_action(action, overlay, tmp_path / "again") / "it.tar.xz"
    assert again.read_bytes() == tarball.read_bytes()


def _packed(write: Callable[[TarWriter], None], sparse: bool) -> bytes:
    stream = io.BytesIO()
    archive = TarWriter(stream, EPOCH, sparse=sparse)
    write(archive)
    archive.close()
    return stream.getvalue()


@pytest.mark.account("root")
@pytest.mark.needs("umoci")
def test_go_reads_sparse_members(tmp_path: Path, overlay: Path) -> None:
    """As Docker and Podman do, which are written in Go, too."""
    layer = _packed(lambda archive: archive.add_tree(overlay, select(overlay)), sparse=True)
    assert len(layer) < MIB
    layout = _layout(tmp_path / "layout", layer)
    argv: list[str | Path] = ["umoci", "unpack", "--image", f"{layout}:it", tmp_path / "bundle"]
    subprocess.run(argv, check=True, capture_output=True)
    assert digest(tmp_path / "bundle/rootfs/srv/disk") == digest(overlay / "srv/disk")


def test_layers_and_cpio_archives_have_zeros_for_holes(tmp_path: Path, overlay: Path) -> None:
    entries = select(overlay)
    layer = _packed(lambda archive: add_layer(archive, overlay, entries), sparse=False)
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        member = archive.getmember("srv/disk")
        content = archive.extractfile(member)
        assert content is not None and member.sparse is None
        assert hashlib.sha256(content.read()).hexdigest() == digest(overlay / "srv/disk")
    file = tmp_path / "it.cpio"
    with file.open("wb") as stream:
        write_cpio(stream, overlay, entries, EPOCH)
    with file.open("rb") as stream:
        argv = ["cpio", "--extract", "--to-stdout", "--quiet", "srv/disk"]
        said = subprocess.run(argv, stdin=stream, check=True, stdout=subprocess.PIPE).stdout
    assert hashlib.sha256(said).hexdigest() == digest(overlay / "srv/disk")


@pytest.mark.parametrize("kind", [name for name in FILESYSTEMS if name != "swap"])
def test_file_systems(tmp_path: Path, overlay: Path, kind: str) -> None:
    """What an image without data takes, and what it takes with the file, differ by little."""
    sizes = []
    for name in ("with", "without"):
        image = tmp_path / f"{name}.img"
        make(overlay, image, kind, label=None, size=None if "fs" in kind else 400 * MIB)
        sizes.append(image.stat().st_blocks * 512)
        (overlay / "srv/disk").unlink(missing_ok=True)
    assert sizes[0] - sizes[1] <= MOST


@pytest.mark.account("root")
def test_a_large_hole_in_an_overlay_makes_no_large_image(
    tmp_path: Path, tree: Path, overlay: Path
) -> None:
    os.truncate(overlay / "srv/disk", 2048 * MIB)
    lay_directory(tree, overlay)
    image = tmp_path / "image"
    make(tree, image, "ext4")
    assert image.stat().st_size <= 32 * MIB
    command = ["debugfs", "-R", "stat /srv/disk", str(image)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert f"Size: {2048 * MIB}" in said
    assert int(said.partition("Blockcount: ")[2].split()[0]) * 512 <= MOST


@pytest.mark.needs("qemu-img")
@pytest.mark.parametrize("name", FORMATS)
def test_disk_formats(tmp_path: Path, name: str) -> None:
    raw, target = tmp_path / "disk.raw", tmp_path / "disk.other"
    write_sparse(raw)
    os.truncate(raw, 64 * MIB)
    FORMATS[name].remake(raw, target, (), None)
    assert target.stat().st_blocks * 512 <= 8 * MOST


def test_delivered_and_bundled_files(tmp_path: Path) -> None:
    step = tmp_path / "step"
    step.mkdir()
    expected = write_sparse(step / "test.raw")
    image = choose(document(tmp_path))
    results = [ResultFile("disk_image", "disk", "test.raw")]
    deliver(image, results, {"disk": StepFiles("0" * 64, step)}, tmp_path / "out")
    check(tmp_path / "out/test.raw", expected)
    (file, *_more) = bundle(tmp_path / "out", tmp_path / "bundle", "1", compress=False)
    check(file, expected)
