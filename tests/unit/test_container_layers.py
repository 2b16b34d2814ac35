"""Layers: the difference between two trees, and what applying one does."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from odd_tree import EPOCH, make_tree

from kiwinb.checkpoints.treescan import compare, scan
from kiwinb.errors import ImageError
from kiwinb.images.container.layers import add_difference, add_layer, apply_layer
from kiwinb.images.tarball import TarWriter
from kiwinb.prepare.lay_over import lay_directory
from kiwinb.sandbox.devices import make_device
from kiwinb.sandbox.worker import Report, call
from kiwinb.storage.treewalk import select


def _layer(write: Callable[[TarWriter], None]) -> io.BytesIO:
    stream = io.BytesIO()
    archive = TarWriter(stream, EPOCH)
    write(archive)
    archive.close()
    stream.seek(0)
    return stream


def _change(root: Path) -> None:
    """Everything that a layer can say."""
    (root / "a" / "file").chmod(0o600)  # of three hard links
    (root / "var" / "third").unlink()
    subprocess.run(["rm", "-r", root / "d".ljust(60, "d")], check=True)
    (root / "far").unlink()
    (root / "far").mkdir()
    (root / "far" / "inside").write_text("x")
    (root / "inherits" / "child").unlink()
    (root / "empty").unlink()
    (root / "empty").symlink_to("a")
    (root / "nodes" / "null").unlink()
    make_device(root / "nodes" / "null", stat.S_IFCHR | 0o600, 1, 5)
    subprocess.run(["rm", "-r", root / "image"], check=True)
    (root / "image").write_text("a file now")
    os.chown(root / "dangling", 7, 7, follow_symlinks=False)
    os.removexattr(root / "inherits", "system.posix_acl_default")
    (root / "a" / "deep" / "new").write_text("new")
    os.utime(root / "setuid", (1, 1))


def _difference(_argument: None, _report: Report) -> tuple[tuple[str, ...], list[str]]:
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        tree, unpacked = make_tree(top / "tree", sockets=False), top / "unpacked"
        unpacked.mkdir()
        before = select(tree, contents=True)
        apply_layer(_layer(lambda archive: add_layer(archive, tree, before)), unpacked)
        assert compare(before, scan(unpacked)) == ()
        _change(tree)
        now = select(tree, contents=True)
        layer = _layer(lambda archive: add_difference(archive, tree, now, before))
        with tarfile.open(fileobj=layer) as archive:
            names = archive.getnames()
        layer.seek(0)
        apply_layer(layer, unpacked)
        assert (unpacked / "a" / "deep" / "new").stat().st_mtime == EPOCH
        return compare(now, scan(unpacked)), names


@pytest.mark.proves("image kind", "docker oci", "derived_from")
def test_a_difference_makes_the_tree() -> None:
    differences, names = call(_difference, None)
    assert differences == ()
    assert "setuid" not in names  # only its time changed
    assert "cap" not in names
    assert {"a/file", "a/deep/again", "z-again", "var"} <= set(names)
    assert "var/second" not in names  # still linked to tmp/first
    assert {"inherits/.wh.child", "var/.wh.third", ".wh." + "d" * 60} <= set(names)
    assert len([name for name in names if ".wh." in name]) == 3


def _apply(layers: list[list[tuple[str, str]]], _report: Report) -> list[str]:
    """Apply layers of (name, link target or content) on an empty tree; list what is there."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "root"
        root.mkdir()
        outside = Path(directory) / "outside"
        outside.mkdir()
        (outside / "kept").touch()
        for members in layers:
            stream = io.BytesIO()
            with tarfile.open(fileobj=stream, mode="w") as archive:
                for name, content in members:
                    member = tarfile.TarInfo(name.rstrip("/"))
                    if name.endswith("/"):
                        member.type = tarfile.DIRTYPE
                    elif content.startswith("->"):
                        member.type, member.linkname = tarfile.SYMTYPE, content[2:]
                    elif content.startswith("=="):
                        member.type, member.linkname = tarfile.LNKTYPE, content[2:]
                    else:
                        member.size = len(content)
                    member.mode = 0o755
                    archive.addfile(member, io.BytesIO(content.encode()))
            stream.seek(0)
            apply_layer(stream, root)
        assert [path.name for path in outside.iterdir()] == ["kept"]
        assert sorted(path.name for path in Path(directory).iterdir()) == ["outside", "root"]
        return sorted(entry.path.decode() for entry in scan(root)[1:])


@pytest.mark.parametrize(
    ("layers", "left"),
    [
        ([[("a", "1"), ("b", "2")], [(".wh.a", "")]], ["b"]),
        ([[("d/a", "1")], [(".wh.d", ""), ("e", "")]], ["e"]),
        ([[("d/a", "1"), ("d/s/b", "2")], [("d/new", ""), ("d/.wh..wh..opq", "")]], ["d", "d/new"]),
        ([[("d/a", "1")], [("d/.wh..wh..opq", ""), ("d/a", "2")]], ["d", "d/a"]),
        ([[("d/a", "1")], [("d", "file")]], ["d"]),
        ([[("d", "file")], [("d/", ""), ("d/a", "")]], ["d", "d/a"]),
        (
            [[("usr/bin/", ""), ("bin", "->usr/bin")], [("bin/x", "")]],
            ["bin", "usr", "usr/bin", "usr/bin/x"],
        ),
        ([[("a", "")], [("../outside/kept", "x")]], ["a", "outside", "outside/kept"]),
        (
            [[("out", "->../outside")], [("out/kept", "x")]],
            ["out", "outside", "outside/kept"],
        ),
        ([[("out", "->/../outside/"), ("out/.wh.kept", "")]], ["out"]),
        ([[("a", "1"), ("sub/b", "==a")]], ["a", "sub", "sub/b"]),
    ],
)
def test_layers_stay_in_the_tree(layers: list[list[tuple[str, str]]], left: list[str]) -> None:
    assert call(_apply, layers) == left


def _owners_of_directories(
    _argument: None, _report: Report
) -> tuple[list[tuple[int, int]], list[str]]:
    """Apply two layers, and lay an overlay over them; return owners and modes, and what changed."""
    with tempfile.TemporaryDirectory() as directory:
        root, overlay = Path(directory) / "root", Path(directory) / "overlay"
        root.mkdir()
        for names, mode, owner in ((("etc", "srv"), 0o755, 3), (("etc", "srv/file"), 0o700, 5)):
            stream = io.BytesIO()
            with tarfile.open(fileobj=stream, mode="w") as archive:
                for name in names:
                    member = tarfile.TarInfo(name)
                    member.type = tarfile.REGTYPE if "/" in name else tarfile.DIRTYPE
                    member.mode, member.uid, member.gid = mode, owner, owner
                    archive.addfile(member)
            stream.seek(0)
            apply_layer(stream, root)
        before = select(root, contents=True)
        (overlay / "etc").mkdir(parents=True, mode=0o711)
        (overlay / "etc/new").touch()
        lay_directory(root, overlay)
        now = select(root, contents=True)
        layer = _layer(lambda archive: add_difference(archive, root, now, before))
        with tarfile.open(fileobj=layer) as archive:
            etc = archive.getmember("etc")
            listed = archive.getnames()
        found = [path.stat() for path in sorted(root.iterdir())]
        facts = [(stat.S_IMODE(status.st_mode), status.st_uid) for status in found]
        return [*facts, (etc.mode, etc.uid)], listed


def test_layers_change_directories_and_overlays_keep_them() -> None:
    (etc, srv, written), names = call(_owners_of_directories, None)
    assert etc == (0o700, 5)  # listed in the second layer
    assert srv == (0o755, 3)  # only the parent of a member of the second layer
    assert written == (0o700, 5)
    assert "srv" not in names


@pytest.mark.parametrize("members", [[("a", "==nowhere")], [("a", "1"), ("a/b", "2")]])
def test_impossible_layers(members: list[tuple[str, str]]) -> None:
    with pytest.raises(ImageError, match="cannot be unpacked"):
        call(_apply, [members])


def test_a_damaged_layer(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be unpacked"):
        apply_layer(io.BytesIO(b"x" * 2048), tmp_path)


def test_names_of_whiteouts_are_refused(tmp_path: Path) -> None:
    (tmp_path / ".wh.name").touch()
    with pytest.raises(ImageError, match=r"/\.wh\.name cannot be in a container"):
        _layer(lambda archive: add_layer(archive, tmp_path, select(tmp_path)))
