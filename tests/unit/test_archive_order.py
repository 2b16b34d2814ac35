"""An ordinary user unpacks archives, and each directory keeps its mode and time."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from odd_tree import EPOCH

from kiwinb.images.container.layers import add_difference, add_layer
from kiwinb.images.newc import write_cpio
from kiwinb.images.tarball import TarWriter
from kiwinb.storage.treewalk import select

_NOBODY = 65534
_NAMES = st.lists(st.sampled_from(("a", "a-", "a-b", "a.b", "a b", "b")), min_size=1, max_size=4)
_TREES = st.sets(_NAMES.map("/".join), min_size=2, max_size=12)
_BETWEEN = {"a/x", "a-b/y", "a/z/deep", "a.b/y", "a b"}
"""In the order of strings, ``a-b`` and ``a.b`` come between ``a`` and ``a/x``."""


def _tar(root: Path) -> bytes:
    return _archived(lambda archive: archive.add_tree(root, select(root)))


def _layer(root: Path) -> bytes:
    return _archived(lambda archive: add_layer(archive, root, select(root)))


def _difference(root: Path) -> bytes:
    """The tree as a layer over nothing."""
    return _archived(lambda archive: add_difference(archive, root, select(root), ()))


def _archived(write: Callable[[TarWriter], None]) -> bytes:
    stream = io.BytesIO()
    archive = TarWriter(stream, EPOCH)
    write(archive)
    archive.close()
    return stream.getvalue()


def _cpio(root: Path) -> bytes:
    stream = io.BytesIO()
    write_cpio(stream, root, select(root), EPOCH)
    return stream.getvalue()


_GNU_TAR = ("tar", "--extract", "--preserve-permissions", "--file=-")
_WAYS: dict[str, tuple[Callable[[Path], bytes], Sequence[str]]] = {
    "tar": (_tar, _GNU_TAR),
    "layer": (_layer, _GNU_TAR),
    "difference": (_difference, _GNU_TAR),
    "bsdtar": (_tar, ("bsdtar", "-xpf-")),
    "cpio": (_cpio, ("cpio", "--extract", "--preserve-modification-time", "--quiet")),
}


@contextmanager
def _scratch() -> Iterator[Path]:
    """A directory that an ordinary user can enter."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        try:
            yield Path(directory)
        finally:
            for folder, names, _files in os.walk(directory):
                for name in names:
                    Path(folder, name).chmod(0o755)


def _make(root: Path, files: set[str]) -> Path:
    """Make files; no directory can be written to, and each has a time of its own."""
    root.mkdir()
    for path in sorted(files):
        file = root / path
        if not any(parent.is_file() for parent in file.parents) and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(path)
    folders = [Path(folder) for folder, _names, _files in os.walk(root)]
    for number, folder in enumerate(folders):
        if folder != root:
            os.link(next(path for path in folder.rglob("*") if path.is_file()), folder / "linked")
        os.utime(folder, (EPOCH - 1000 - number, EPOCH - 1000 - number))
    for folder in folders:
        folder.chmod(0o555)
    return root


def _facts(root: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for folder, _names, files in os.walk(root):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            status = path.stat()
            found[str(path.relative_to(root))] = (
                stat.S_IMODE(status.st_mode),
                min(int(status.st_mtime), EPOCH),
            )
    return found


@pytest.mark.needs("bsdtar")
@pytest.mark.parametrize("way", _WAYS)
@settings(max_examples=20, deadline=None)
@example(files=_BETWEEN)
@given(files=_TREES)
def test_directories_that_nobody_can_write_to(way: str, files: set[str]) -> None:
    pack, unpack = _WAYS[way]
    user: dict[str, Any] = {}
    with _scratch() as top:
        root = _make(top / "tree", files)
        unpacked = top / "unpacked"
        unpacked.mkdir()
        if os.geteuid() == 0:
            os.chown(unpacked, _NOBODY, _NOBODY)
            user = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
        done = subprocess.run(
            unpack, input=pack(root), stderr=subprocess.PIPE, cwd=unpacked, **user
        )
        assert (done.returncode, done.stderr.decode()) == (0, "")
        found, expected = _facts(unpacked), _facts(root)
        if unpack is not _GNU_TAR:  # the others leave the directory alone that they unpack to
            del found["."], expected["."]
        assert found == expected


def test_whiteouts_stand_in_their_directories(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("a/gone", "a/kept", "a-b/gone", "gone"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    before = select(root, contents=True)
    for name in ("a/gone", "a-b/gone", "gone"):
        (root / name).unlink()
    (root / "a/new").touch()
    layer = _archived(
        lambda archive: add_difference(archive, root, select(root, contents=True), before)
    )
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        names = archive.getnames()
    assert names == [".wh.gone", "a", "a/.wh.gone", "a/new", "a-b", "a-b/.wh.gone"]
