"""SquashFS and EROFS, read back by tools that others wrote, and by ours."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from descriptions import document
from made_filesystem import UUID, make
from odd_tree import EPOCH, make_tree, run_action

from kiwinb.checkpoints.treescan import Entry, compare, scan
from kiwinb.description.model import ImageDescription
from kiwinb.description.select import select as choose
from kiwinb.description.sources import Sources
from kiwinb.errors import ImageError
from kiwinb.images import IMAGE_KINDS
from kiwinb.images.inputs import BuildInputs
from kiwinb.sandbox.devices import DEVICE_ATTRIBUTE
from kiwinb.storage.filesystem import FILESYSTEMS
from kiwinb.storage.filesystem.content import Content
from kiwinb.storage.filesystem.fill import fill
from kiwinb.storage.filesystem.spec import Filesystem, Watch
from kiwinb.storage.treewalk import select

KINDS = ("squashfs", "erofs")
SQUASHFS = ("uncompressed", "gzip", "lzo", "lz4", "xz", "zstd")
NEEDS = {
    "squashfs": pytest.mark.needs("mksquashfs", "unsquashfs"),
    "erofs": pytest.mark.needs("mkfs.erofs", "fsck.erofs"),
}
BOTH = [pytest.param(kind, marks=NEEDS[kind]) for kind in KINDS]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = make_tree(tmp_path / "tree")
    (tree / ("n" * 255)).unlink()  # more than mkfs.erofs takes
    for name in ("new*name", "[a]", "back\\slash", "tmp/.hidden", "tmp/shown"):
        (tree / name).write_text(name)
    (tree / "absolute").symlink_to("/a/file")
    (tree / "nodes/tty 1").touch()
    (tree / "nodes/tty 1").chmod(0o620)
    os.setxattr(tree / "nodes/tty 1", DEVICE_ATTRIBUTE, b"c:4:300")
    return tree


def described(directory: Path, kind: str, attributes: str = "") -> ImageDescription:
    preferences = (
        "<preferences><version>1.0.0</version><packagemanager>apt</packagemanager>"
        f'<type image="{kind}" {attributes}/></preferences>'
    )
    return choose(document(directory, preferences=preferences), arch="x86_64")


def unpacked(image: Path, kind: str) -> Path:
    out = image.with_name("unpacked")
    shutil.rmtree(out, ignore_errors=True)
    argv = {
        "squashfs": ["unsquashfs", "-quiet", "-no-progress", "-d", str(out), str(image)],
        "erofs": ["fsck.erofs", f"--extract={out}", "--preserve", str(image)],
    }[kind]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def kept(entries: tuple[Entry, ...], kind: str) -> list[Entry]:
    """What the tool that unpacks can give back."""

    def attributes(entry: Entry) -> tuple[tuple[str, bytes], ...]:
        if kind == "erofs":  # fsck.erofs gives none back
            return ()
        return tuple(item for item in entry.xattrs if not item[0].startswith("system."))

    links = kind == "squashfs"  # fsck.erofs makes files of their own
    lost = 0 if kind == "squashfs" else 0o6000  # fsck.erofs sets owners after modes
    return [
        replace(
            entry,
            mode=entry.mode & ~lost,
            xattrs=attributes(entry),
            link=entry.link if links else b"",
        )
        for entry in entries
    ]


@pytest.mark.account("root")
@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.proves("file system", "squashfs erofs")
def test_what_is_unpacked_is_the_tree(tree: Path, tmp_path: Path, kind: str) -> None:
    before = scan(tree)
    content = make(tree, tmp_path / "image", kind)
    assert not compare(before, scan(tree)), "the tree is as it was"
    found = unpacked(tmp_path / "image", kind)
    assert not compare(kept(select(tree, contents=True), kind), kept(scan(found), kind))
    if kind == "squashfs":
        for entry in content.entries:
            if entry.path not in (b".", b"nodes") and entry.kind != "symlink":
                place = os.path.join(os.fsencode(found), entry.path)  # noqa: PTH118 - bytes
                assert int(os.lstat(place).st_mtime) == content.modified_ns(entry) // 10**9


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.proves("file system", "squashfs erofs")
def test_the_bytes_are_the_same_each_time(tree: Path, tmp_path: Path, kind: str) -> None:
    make(tree, tmp_path / "one", kind)
    again = tmp_path / "again"
    subprocess.run(["cp", "-a", tree, again], check=True)
    for directory, names, _ in os.walk(again):
        names.sort(reverse=True)
        os.utime(directory, ns=(0, os.lstat(directory).st_mtime_ns))
    for path in (*tree.rglob("*"), *again.rglob("*")):
        assert path.lstat().st_mtime_ns >= 0
    make(again, tmp_path / "two", kind)
    assert filecmp.cmp(tmp_path / "one", tmp_path / "two", shallow=False)


@pytest.mark.account("root")
@pytest.mark.parametrize("kind", BOTH)
def test_stand_ins_become_what_nodes_are(tree: Path, tmp_path: Path, kind: str) -> None:
    """What a user builds has the bytes of what root builds."""
    make(tree, tmp_path / "real", kind)
    times = {
        path: path.lstat().st_mtime_ns for path in (tree / "nodes", *(tree / "nodes").iterdir())
    }
    for name, device, mode, group in (("null", b"c:1:3", 0o666, 0), ("sda", b"b:8:0", 0o660, 6)):
        place = tree / "nodes" / name
        place.unlink()
        place.touch()
        place.chmod(mode)
        os.chown(place, 0, group)
        os.setxattr(place, DEVICE_ATTRIBUTE, device)
    for path, time in times.items():
        os.utime(path, ns=(time, time))
    make(tree, tmp_path / "stand-ins", kind)
    assert filecmp.cmp(tmp_path / "real", tmp_path / "stand-ins", shallow=False)
    assert (tree / "nodes/sda").is_file()


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.proves("image kind", "squashfs erofs")
def test_images(tree: Path, tmp_path: Path, kind: str) -> None:
    plan = IMAGE_KINDS[kind].plan(described(tmp_path, kind), BuildInputs(Sources(), EPOCH), "tree")
    (step,), (result,) = plan.steps, plan.results
    assert (result.tag, result.filename) == ("filesystem_image", f"test.x86_64-1.0.0.{kind}")
    image = run_action(step.action, tree, tmp_path / "out") / result.filename
    names = {path.name for path in unpacked(image, kind).iterdir()}
    assert {"a", "tmp", "new*name", "[a]", "back\\slash"} <= names
    assert not names & {"image", ".profile"}
    assert not list((image.with_name("unpacked") / "tmp").iterdir())
    hard = image.with_name("unpacked") / "var/second"
    assert hard.read_text() == "one of three", "its other name is left out"


@pytest.mark.needs("mksquashfs", "unsquashfs")
@pytest.mark.parametrize("compression", SQUASHFS)
@pytest.mark.proves("file system", "squashfs", "squashfscompression")
@pytest.mark.proves("image kind", "squashfs", "squashfscompression")
def test_squashfs_compression(tree: Path, tmp_path: Path, compression: str) -> None:
    image = described(tmp_path, "squashfs", f'squashfscompression="{compression}"')
    plan = IMAGE_KINDS["squashfs"].plan(image, BuildInputs(Sources(), EPOCH), "tree")
    out = run_action(plan.steps[0].action, tree, tmp_path / "out") / plan.results[0].filename
    argv: list[str | Path] = ["unsquashfs", "-stat", out]
    said = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout
    if compression == "uncompressed":
        assert "Data is uncompressed" in said
    else:
        assert f"Compression {compression}" in said
    assert (unpacked(out, "squashfs") / "a/file").read_text() == "content\n" * 1000


@pytest.mark.needs("mkfs.erofs", "fsck.erofs")
@pytest.mark.parametrize("compression", ["lz4", "lz4hc", "lz4hc,12", "lz4hc,level=9"])
@pytest.mark.proves("file system", "erofs", "erofscompression")
@pytest.mark.proves("image kind", "erofs", "erofscompression")
def test_erofs_compression(tree: Path, tmp_path: Path, compression: str) -> None:
    image = described(tmp_path, "erofs", f'erofscompression="{compression}"')
    assert not list(IMAGE_KINDS["erofs"].lacks(image))
    plan = IMAGE_KINDS["erofs"].plan(image, BuildInputs(Sources(), EPOCH), "tree")
    out = run_action(plan.steps[0].action, tree, tmp_path / "out") / plan.results[0].filename
    assert (unpacked(out, "erofs") / "a/file").read_text() == "content\n" * 1000
    make(tree, tmp_path / "plain", "erofs")
    assert out.stat().st_size < (tmp_path / "plain").stat().st_size


@pytest.mark.needs("mkfs.erofs")
def test_a_compression_that_the_host_does_not_know(tree: Path, tmp_path: Path) -> None:
    image = described(tmp_path, "erofs", 'erofscompression="lz4:brotli,level=3"')
    problem = "mkfs.erofs of this host does not compress with brotli"
    assert list(IMAGE_KINDS["erofs"].lacks(image)) == [problem]
    plan = IMAGE_KINDS["erofs"].plan(image, BuildInputs(Sources(), EPOCH), "tree")
    with pytest.raises(ImageError, match=problem):
        run_action(plan.steps[0].action, tree, tmp_path / "out")


@pytest.mark.parametrize("kind", BOTH)
def test_a_size_is_filled_up_or_refused(tree: Path, tmp_path: Path, kind: str) -> None:
    spec = Filesystem(FILESYSTEMS.use(kind), UUID)
    content, watch = Content(tree, (), EPOCH), Watch(lambda line: None, lambda fraction: None)
    place = tmp_path / "image"
    fill(place, spec, content, watch, name="the partition data", size=20 << 20)
    assert place.stat().st_size == 20 << 20
    assert (unpacked(place, kind) / "empty").exists()
    with pytest.raises(ImageError, match="the content of the partition data does not fit"):
        fill(place, spec, content, watch, name="the partition data", size=1024)
